//! What a container's first process gets from its supervisor, where a virtual machine has devices.
//!
//! Descriptor 3 is a Unix socket. Over it come two listening sockets, for control and data, with one
//! byte. It stays open as long as the supervisor lives; its end is the end of the container.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::net::{UnixListener, UnixStream};

/// The first descriptor behind the standard ones, which container runtimes pass on when told to.
const GIVEN: RawFd = 3;

/// Held for the container's life.
#[derive(Debug)]
pub struct Seat {
    supervisor: OwnedFd,
    listeners: [OwnedFd; 2],
}

/// The same, with the runtime that serves it.
#[derive(Debug)]
pub(crate) struct Seated {
    pub(crate) supervisor: UnixStream,
    pub(crate) control: UnixListener,
    pub(crate) data: UnixListener,
}

impl Seat {
    /// Receives it over descriptor 3. Call it once, before the process has opened anything.
    pub fn take() -> io::Result<Self> {
        // SAFETY: the runtime has left this descriptor open for us, and nobody else knows of it.
        let given = unsafe { OwnedFd::from_raw_fd(GIVEN) };
        let supervisor = rustix::io::fcntl_dupfd_cloexec(&given, GIVEN + 1)?;
        let listeners = receive(&supervisor)?;
        Ok(Self {
            supervisor,
            listeners,
        })
    }

    pub(crate) fn register(self) -> io::Result<Seated> {
        let [control, data] = self.listeners;
        let supervisor = std::os::unix::net::UnixStream::from(self.supervisor);
        supervisor.set_nonblocking(true)?;
        Ok(Seated {
            supervisor: UnixStream::from_std(supervisor)?,
            control: listener(control)?,
            data: listener(data)?,
        })
    }
}

fn listener(fd: OwnedFd) -> io::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::from(fd);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn receive(supervisor: &OwnedFd) -> io::Result<[OwnedFd; 2]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut messages = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut data = [IoSliceMut::new(&mut byte)];
    recvmsg(
        supervisor,
        &mut data,
        &mut messages,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut fds = messages.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    match (fds.next(), fds.next()) {
        (Some(control), Some(data)) => Ok([control, data]),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
