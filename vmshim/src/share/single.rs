//! One file as a folder that has nothing else in it.
//!
//! virtiofs serves folders. The file's own folder is none of the guest's business, not even that of a server whose
//! fences broke, so this process lays an empty folder in memory over another and binds the file into it. The kernel
//! refuses the rest: the folder is read-only, and a name that something is mounted on can't be removed or replaced.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount,
};
use wire::message::SHARED_FILE;

use super::Error;
use crate::confine;

/// Nothing of a program's or a device's is wanted from there.
const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// From now on this process finds nothing but `file` in `dir`, under the name [`SHARED_FILE`].
///
/// Needs a process of one thread. An editor that replaces the file by renaming makes a new one, which is not this.
pub(super) fn only(file: &Path, dir: &Path) -> Result<(), Error> {
    lay(file, dir).map_err(|source| Error::File {
        file: file.to_owned(),
        source,
    })
}

fn lay(file: &Path, dir: &Path) -> io::Result<()> {
    confine::own_mounts()?;
    // Held before `dir` is covered, which may lead to it.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = File::from(rustix::fs::open(file, flags, Mode::empty())?);
    if !held.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    mount(
        "none",
        dir,
        "tmpfs",
        PLAIN,
        Some(c"mode=0755,nr_inodes=2,size=4k"),
    )?;
    let place = dir.join(SHARED_FILE);
    File::create(&place)?;
    mount_bind(format!("/proc/self/fd/{}", held.as_raw_fd()), &place)?;
    mount_remount(dir, MountFlags::BIND | MountFlags::RDONLY | PLAIN, c"")?;
    Ok(())
}
