//! Telling programs that watch a shared folder what the host has changed in it.
//!
//! inotify(7) reports what this kernel does. So it is made to do what the host has done: as the group [`PRETENCE`],
//! for which the folder server changes nothing and answers with what is there. As a further effect the kernel drops what
//! it still believed of these files.
//!
//! What can't be told: a file that is gone and that nobody inside has looked at in the last second; its folder is
//! reported as changed instead. And nothing is told in a folder that the guest may only read.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, mkdirat, mknodat,
    open, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::process::Gid;
use rustix::thread::set_thread_gid;
use wire::message::{Change, Deed, Kind, PRETENCE};

/// Tells of all of them. Blocks. A change that can't be told is left out: by then it has changed once more.
pub fn announce(changes: &[Change]) -> io::Result<()> {
    for change in changes {
        match tell(change) {
            Err(error) if error == Errno::PERM => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn tell(change: &Change) -> rustix::io::Result<()> {
    let path = Path::new(&change.path);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL);
    };
    let folder = find(folder, OFlags::DIRECTORY)?;
    match change.deed {
        Deed::Modified => touch(&find(path, OFlags::empty())?),
        Deed::Gone => {
            let gone = pretend(|| remove(&folder, name.as_ref()))?;
            gone.or_else(|_| touch(&folder))
        }
        Deed::Appeared(kind) => {
            // What was there before is not what is there now, whatever the kernel still believes.
            let _ = pretend(|| unlinkat(&folder, name, AtFlags::empty()))?;
            let appeared = pretend(|| make(&folder, name.as_ref(), kind))?;
            match kind {
                Kind::File => appeared.and_then(|()| touch(&find(path, OFlags::empty())?)),
                Kind::Folder | Kind::Link => appeared,
            }
        }
    }
}

/// The file itself, not what a link leads to, and not open: that would be an event, too.
fn find(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let found = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open(path, found | flags, Mode::empty())
}

/// A new time of modification and no new time of access: that is IN_MODIFY to whoever watches.
fn touch(file: &OwnedFd) -> rustix::io::Result<()> {
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: time(UTIME_OMIT),
        last_modification: time(UTIME_NOW),
    };
    pretend(|| utimensat(file, "", &times, AtFlags::EMPTY_PATH))?
}

fn remove(folder: &OwnedFd, name: &Path) -> rustix::io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(folder, name, AtFlags::REMOVEDIR),
        done => done,
    }
}

fn make(folder: &OwnedFd, name: &Path, kind: Kind) -> rustix::io::Result<()> {
    match kind {
        Kind::File => mknodat(folder, name, FileType::RegularFile, Mode::RUSR, 0),
        Kind::Folder => mkdirat(folder, name, Mode::RWXU),
        Kind::Link => symlinkat("pretence", folder, name),
    }
}

/// Does something as [`PRETENCE`]: this thread alone, and for this long.
fn pretend<T>(deed: impl FnOnce() -> T) -> rustix::io::Result<T> {
    set_thread_gid(Gid::from_raw(PRETENCE))?;
    let done = deed();
    set_thread_gid(Gid::ROOT)?;
    Ok(done)
}
