//! The guest, as its supervisor talks to it over the control port.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use wire::PROTOCOL;
use wire::message::{self, Change, Configure, Exec, Hello, MessageError, Reply, Request, Timings};
use wire::mux::{Opener, Stream};
use wire::text::printable;

use crate::channel;

/// How long the guest may take for an answer that it has only to say.
const ANSWER: Duration = Duration::from_secs(30);

/// Why the guest is not to be talked to.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Nothing was heard in the time given.
    #[error("the guest did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The VMM's socket or the channel failed.
    #[error("the channel to the guest failed")]
    Channel(#[source] io::Error),
    /// It said something that is no message.
    #[error("the guest cannot be understood")]
    Message(#[from] MessageError),
    /// It said something that was not due.
    #[error("the guest gave an answer to another question")]
    Unexpected,
    /// It was started by another version of this program.
    #[error("the guest speaks protocol {0}, and this program speaks {PROTOCOL}")]
    Protocol(u32),
    /// It could not do what it was asked to; its own words.
    #[error("{0}")]
    Refused(String),
}

/// A conversation with a guest. Cheap to clone; it ends with its last clone and streams.
#[derive(Debug, Clone)]
pub struct Session {
    opener: Opener,
}

/// A guest that has booted and waits to be told which sandbox it is.
#[derive(Debug)]
pub struct Waiting {
    /// What it said of itself.
    pub hello: Hello,
    stream: Stream,
}

impl Session {
    /// Connects to the control port at this socket, waiting at most so long for the VMM and the guest
    /// to be there. Spawns a task that lives as long as the connection.
    pub async fn connect(socket: &Path, patience: Duration) -> Result<Self, GuestError> {
        let connected = timeout(patience, channel::connect(socket)).await;
        let (opener, _, driver) = connected
            .map_err(|_| GuestError::Silent(patience))?
            .map_err(GuestError::Channel)?;
        // How it ends is told by the streams; `closed` tells that it ended.
        tokio::spawn(driver.run());
        Ok(Self { opener })
    }

    /// Completes when the guest, the VMM or the channel is gone.
    pub async fn closed(&self) {
        self.opener.closed().await;
    }

    /// Hears who the guest is.
    pub async fn hello(&self) -> Result<Waiting, GuestError> {
        let mut stream = self.request(&Request::Boot).await?;
        let Reply::Hello(mut hello) = answer(&mut stream).await? else {
            return Err(GuestError::Unexpected);
        };
        hello.kernel = printable(&hello.kernel);
        if hello.protocol != PROTOCOL {
            return Err(GuestError::Protocol(hello.protocol));
        }
        Ok(Waiting { hello, stream })
    }

    /// Asks for a program. The stream carries the frames of [`wire::exec`]; [`crate::attach`] is for
    /// it.
    pub async fn exec(&self, exec: &Exec) -> Result<Stream, GuestError> {
        self.request(&Request::Exec(exec.clone())).await
    }

    /// Connects to a TCP port of the guest's loopback interface. The stream carries the connection's bytes.
    pub async fn reach(&self, port: u16) -> Result<Stream, GuestError> {
        let mut stream = self.request(&Request::Reach { port }).await?;
        match answer(&mut stream).await? {
            Reply::Reached => Ok(stream),
            Reply::Failed(sentence) => Err(GuestError::Refused(printable(&sentence))),
            _ => Err(GuestError::Unexpected),
        }
    }

    /// Has the guest tell its programs what the host has changed in shared folders. Returns when it has.
    pub async fn changed(&self, changes: &[Change]) -> Result<(), GuestError> {
        let mut stream = self.request(&Request::Changed(changes.to_vec())).await?;
        match answer(&mut stream).await? {
            Reply::Told => Ok(()),
            Reply::Failed(sentence) => Err(GuestError::Refused(printable(&sentence))),
            _ => Err(GuestError::Unexpected),
        }
    }

    /// Asks the guest to end its programs, allowing them so long, and to power off. Returns when it has
    /// begun; the VMM ends when it has done.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), GuestError> {
        let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        let mut stream = self.request(&Request::Shutdown { grace_ms }).await?;
        match answer(&mut stream).await? {
            Reply::Stopping => Ok(()),
            _ => Err(GuestError::Unexpected),
        }
    }

    async fn request(&self, request: &Request) -> Result<Stream, GuestError> {
        let mut stream = self.opener.open().await.map_err(GuestError::Channel)?;
        message::write(&mut stream, request).await?;
        Ok(stream)
    }
}

impl Waiting {
    /// Makes the guest this sandbox. Mounts and file writes within the guest are done when this
    /// returns.
    pub async fn configure(mut self, config: &Configure) -> Result<Timings, GuestError> {
        message::write(&mut self.stream, config).await?;
        match answer(&mut self.stream).await? {
            Reply::Ready(timings) => Ok(timings),
            Reply::Failed(sentence) => Err(GuestError::Refused(printable(&sentence))),
            Reply::Hello(_) | Reply::Stopping | Reply::Reached | Reply::Told => {
                Err(GuestError::Unexpected)
            }
        }
    }
}

async fn answer(stream: &mut Stream) -> Result<Reply, GuestError> {
    let reply = timeout(ANSWER, message::read(stream)).await;
    Ok(reply.map_err(|_| GuestError::Silent(ANSWER))??)
}
