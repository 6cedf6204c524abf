//! The guest's end of a port: virtio-serial, or a Unix socket in a container.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use tokio::io::BufStream;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;
use tokio_util::either::Either;
use wire::resync;

use crate::device::Device;

/// How often to look whether a port or its host is there. The kernel tells by readiness when a host
/// leaves but, edge-triggered, not when one comes.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Room for one yamux frame with its header, so that it crosses in one write.
const BUFFER: usize = 32 * 1024;

/// An open port.
#[derive(Debug)]
pub(crate) enum Port {
    /// Of a virtual machine.
    Device(OwnedFd),
    /// Of a container: the host's processes connect to it, one after the other.
    Socket(UnixListener),
}

/// A port with a conversation begun on it.
pub(crate) type Conversation = BufStream<Either<Device, UnixStream>>;

impl Port {
    /// Opens the port with this name, waiting for the device to announce it.
    pub(crate) async fn open(name: &str) -> io::Result<Self> {
        let path = loop {
            match find(name)? {
                Some(path) => break path,
                None => sleep(LOOK_AGAIN).await,
            }
        };
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self::Device(open(&path, flags, Mode::empty())?))
    }

    /// Waits for a host process and agrees with it on where the conversation begins.
    pub(crate) async fn converse(&self) -> io::Result<Conversation> {
        let stream = match self {
            Self::Device(file) => Either::Left(device(file).await?),
            Self::Socket(listener) => Either::Right(listener.accept().await?.0),
        };
        let mut stream = BufStream::with_capacity(BUFFER, BUFFER, stream);
        resync::io::guest(&mut stream).await?;
        Ok(stream)
    }
}

/// Waits for the device's host.
async fn device(file: &OwnedFd) -> io::Result<Device> {
    while is_hung_up(file)? {
        sleep(LOOK_AGAIN).await;
    }
    // A registration of its own per conversation: once the runtime has seen a hang-up on one, it
    // reports it for ever, which is what ends a conversation even if the next host is quick.
    Device::new(file.try_clone()?)
}

fn is_hung_up(file: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(file, PollFlags::OUT)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now))?;
    let [fd] = fds;
    Ok(fd.revents().contains(PollFlags::HUP))
}

fn find(name: &str) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir("/sys/class/virtio-ports") {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let found = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if found.trim_end() == name {
            return Ok(Some(PathBuf::from("/dev").join(entry.file_name())));
        }
    }
    Ok(None)
}
