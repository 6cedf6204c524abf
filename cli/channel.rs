//! The guest's data port as a listener: each stream that the guest opens is one client's connection.
//!
//! Here the two halves of the program meet that must not know each other: `proxy` takes connections
//! from whatever accepts them, `wire` knows how a port carries many.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::BufStream;
use tokio::net::UnixStream;
use wire::mux::{self, Acceptor, Side, Stream};
use wire::resync::{self, Nonce};

/// How long to wait before asking for the port again: the VMM makes it early, the guest opens it late.
const RETRY: Duration = Duration::from_millis(50);

/// The host's end of one sandbox's data port, connected again whenever it breaks.
pub(crate) struct Channel {
    path: PathBuf,
    streams: Option<Acceptor>,
}

impl Channel {
    /// The port whose host end is the Unix socket at `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            streams: None,
        }
    }

    async fn connect(&self) -> io::Result<Acceptor> {
        let mut port = BufStream::new(UnixStream::connect(&self.path).await?);
        let mut nonce = Nonce::default();
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        resync::io::host(&mut port, nonce).await?;
        let (_opener, streams, driver) = mux::new(port, Side::Host);
        // The task ends with the port; its streams and `streams` then fail, which is all that
        // anybody needs to know.
        tokio::spawn(driver.run());
        Ok(streams)
    }
}

impl proxy::Accept for Channel {
    type Io = Stream;

    async fn accept(&mut self) -> io::Result<Stream> {
        loop {
            if let Some(streams) = &mut self.streams {
                match streams.accept().await {
                    Ok(stream) => return Ok(stream),
                    Err(_) => self.streams = None,
                }
            }
            match self.connect().await {
                Ok(streams) => self.streams = Some(streams),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }
}
