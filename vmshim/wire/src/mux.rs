//! Many streams over one port.
//!
//! [`new`] turns a port into three parts: an [`Opener`], an [`Acceptor`] and a [`Driver`]. Somebody
//! must run the driver; the other two work only while it runs, and fail at once when it has ended.
//! It closes the port when both and all their streams are gone.

mod driver;
mod stream;
mod tally;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use driver::{Driver, MuxError};
pub use stream::Stream;
use tally::Counted;

/// Most streams that one side opens at a time. More than any agent's package manager uses; the next
/// one waits until another has ended.
pub const MAX_OPEN: usize = 256;

/// Most streams that a side bears before it ends the conversation. Twice [`MAX_OPEN`], because the
/// peer counts a stream as gone a little before we do.
const MAX_STREAMS: usize = 2 * MAX_OPEN;

/// Credit that yamux gives every stream, and the least it can be told to give.
const STREAM_WINDOW: usize = yamux::DEFAULT_CREDIT as usize;

/// Which end of the port this is. Decides only who numbers streams odd and who even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The VM's host.
    Host,
    /// The program inside the VM.
    Guest,
}

/// Held by everything that needs the driver; nothing is ever sent.
type InUse = mpsc::Sender<Infallible>;

/// Starts multiplexing on a port whose handshake is done.
///
/// The receive side never buffers more than 128 MiB in all, and some 25 MiB for keeping it: each of at
/// most 512 streams has the fixed yamux window of 256 KiB, which the port's round trip of about a
/// millisecond does not outrun, and small frames are counted.
pub fn new<S>(port: S, side: Side) -> (Opener, Acceptor, Driver<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (open, requests) = mpsc::channel(1);
    let (arrivals, accepted) = mpsc::channel(MAX_STREAMS);
    let (in_use, unused) = mpsc::channel(1);
    let opener = Opener {
        requests: open,
        free: Arc::new(Semaphore::new(MAX_OPEN)),
        in_use: in_use.clone(),
    };
    let driver = Driver::new(port, side, requests, arrivals, unused);
    (opener, Acceptor { accepted, in_use }, driver)
}

fn config() -> yamux::Config {
    let mut config = yamux::Config::default();
    // The order matters: each setter checks itself against the other's value.
    config
        .set_max_num_streams(MAX_STREAMS)
        .set_max_connection_receive_window(Some(MAX_STREAMS * STREAM_WINDOW));
    config
}

/// Opens streams. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Opener {
    requests: mpsc::Sender<oneshot::Sender<Counted>>,
    free: Arc<Semaphore>,
    in_use: InUse,
}

impl Opener {
    /// Opens a stream. The peer learns of it with the first byte that is written to it.
    ///
    /// Waits while [`MAX_OPEN`] streams are open; fails when the driver has ended.
    pub async fn open(&self) -> io::Result<Stream> {
        let permit = Arc::clone(&self.free)
            .acquire_owned()
            .await
            .map_err(|_| ended())?;
        let (reply, stream) = oneshot::channel();
        self.requests.send(reply).await.map_err(|_| ended())?;
        let stream = stream.await.map_err(|_| ended())?;
        Ok(Stream::new(stream, self.in_use.clone(), Some(permit)))
    }

    /// Whether the driver has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Completes when the driver has ended.
    pub async fn closed(&self) {
        self.requests.closed().await;
    }
}

/// Takes the streams that the peer opens.
#[derive(Debug)]
pub struct Acceptor {
    accepted: mpsc::Receiver<Counted>,
    in_use: InUse,
}

impl Acceptor {
    /// The next stream, or an error when the driver has ended. Cancel safe.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        let stream = self.accepted.recv().await.ok_or_else(ended)?;
        Ok(Stream::new(stream, self.in_use.clone(), None))
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the channel is not connected")
}

#[cfg(test)]
mod tests;
