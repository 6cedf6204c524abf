//! Folders with hidden files, which a container sees through the same folder server as a microVM.
//!
//! The rest of the host's folders are bound into the container as they are. What hides files is a server of its own for
//! each folder (FUSE), because a mount over a hidden file would protect only the file that is there now: an editor on
//! the host that saves by renaming would take the mount away with it.
//!
//! The kernel wants the device opened in the user namespace in which it is mounted, so that happens in the runtime's
//! own process before it is the runtime, and the open device comes back over a socket.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::thread::UnshareFlags;

use super::Error;
use crate::spec::{Share, Spec};

const DEVICE: &str = "/dev/fuse";

/// Whether a container sees this folder through a server.
pub(super) fn is_served(share: &Share) -> bool {
    !share.file && !share.hide.is_empty()
}

/// Where the runtime finds share number `n` if it is served. Nobody else finds anything there.
pub(super) fn place(runtime_dir: &Path, n: usize) -> PathBuf {
    runtime_dir.join(format!("folder{n}"))
}

/// A folder of the spec that waits for its server.
#[derive(Debug)]
pub struct Unserved {
    /// The folder.
    pub share: Share,
    /// The kernel's side of it, mounted and silent.
    pub device: OwnedFd,
}

/// What is mounted by a command that has not been spawned yet.
#[derive(Debug)]
pub struct Mounting {
    shares: Vec<Share>,
    from: UnixStream,
    /// Its numbers are taken until the command has put its own devices there.
    _numbers: Vec<File>,
}

/// What the new process needs for one folder. It must not allocate, so everything is ready.
struct Mount {
    number: i32,
    place: CString,
    options: CString,
    flags: MountFlags,
}

/// Has `command`, which is made the root of a user namespace first, mount the spec's folders that have hidden files.
/// Afterwards it has a mount namespace of its own. `None` if there is no such folder.
pub fn mount_in(command: &mut Command, spec: &Spec) -> Result<Option<Mounting>, Error> {
    let (mut mounts, mut shares, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (n, share) in spec.shares.iter().enumerate() {
        if !is_served(share) {
            continue;
        }
        let device = open().map_err(|source| Error::NoFuse { source })?;
        let place = place(&spec.runtime_dir, n);
        std::fs::create_dir_all(&place).map_err(Error::doing("make a place for a folder"))?;
        mounts.push(
            Mount::new(&device, &place, share.read_only)
                .map_err(Error::doing("name a place for a folder"))?,
        );
        shares.push(share.clone());
        numbers.push(device);
    }
    if mounts.is_empty() {
        return Ok(None);
    }
    let (from, to) = UnixStream::pair().map_err(Error::doing("hear from the runtime"))?;
    // SAFETY: between fork and exec only system calls are made, without memory being allocated.
    unsafe {
        command.pre_exec(move || {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change(c"/", private)?;
            mounts.iter().try_for_each(|mount| mount.make(to.as_fd()))
        });
    }
    Ok(Some(Mounting {
        shares,
        from,
        _numbers: numbers,
    }))
}

/// Whether this user can hide files from a container.
pub fn can_hide() -> io::Result<()> {
    open().map(drop)
}

fn open() -> io::Result<File> {
    File::options().read(true).write(true).open(DEVICE)
}

impl Mount {
    fn new(device: &File, place: &Path, read_only: bool) -> io::Result<Self> {
        let number = device.as_raw_fd();
        // What may be done is the server's to say and, with `default_permissions`, the kernel's by owner and mode.
        let options = format!(
            "fd={number},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
        );
        let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
        if read_only {
            flags |= MountFlags::RDONLY;
        }
        Ok(Self {
            number,
            place: CString::new(place.as_os_str().as_bytes())?,
            options: CString::new(options)?,
            flags,
        })
    }

    /// Mounts, and hands the device to whoever has the other end of `to`.
    fn make(&self, to: BorrowedFd<'_>) -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let own = rustix::fs::open(c"/dev/fuse", flags, Mode::empty())?;
        // The options name a number, and there is no memory to write another.
        // SAFETY: the number is that of a file which this copy of the process has no other use for.
        if unsafe { libc::dup3(own.as_raw_fd(), self.number, libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let (place, options) = (self.place.as_c_str(), self.options.as_c_str());
        mount(c"sandbox", place, c"fuse", self.flags, options)?;
        let device = [own.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut messages = SendAncillaryBuffer::new(&mut space);
        messages.push(SendAncillaryMessage::ScmRights(&device));
        sendmsg(to, &[IoSlice::new(&[1])], &mut messages, SendFlags::empty())?;
        Ok(())
    }
}

impl Mounting {
    /// The folders, once the command has been spawned.
    pub fn take(self) -> Result<Vec<Unserved>, Error> {
        let from = &self.from;
        let receive = |share| {
            let device = receive(from)?;
            Ok(Unserved { share, device })
        };
        let taken: io::Result<_> = self.shares.into_iter().map(receive).collect();
        taken.map_err(Error::doing("take over a folder"))
    }
}

fn receive(from: &UnixStream) -> io::Result<OwnedFd> {
    from.set_nonblocking(true)?; // it is there, or never comes
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut messages = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut data = [IoSliceMut::new(&mut byte)];
    recvmsg(from, &mut data, &mut messages, RecvFlags::CMSG_CLOEXEC)?;
    let device = messages.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    device.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
