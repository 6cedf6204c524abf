//! The task that moves frames between the port and the streams.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::tally::{Counted, Tally, Watched};
use super::{Side, config};

/// Why a conversation ended other than by the port closing.
#[derive(Debug, thiserror::Error)]
pub enum MuxError {
    /// The port failed.
    #[error("the channel failed")]
    Port(#[source] io::Error),
    /// The peer broke the protocol.
    #[error("the peer broke the channel protocol")]
    Protocol(#[source] yamux::ConnectionError),
}

impl From<yamux::ConnectionError> for MuxError {
    fn from(error: yamux::ConnectionError) -> Self {
        match error {
            yamux::ConnectionError::Io(error) => Self::Port(error),
            other => Self::Protocol(other),
        }
    }
}

/// Drives one conversation. Run it in a task of its own.
#[derive(Debug)]
pub struct Driver<S> {
    connection: yamux::Connection<Compat<Watched<S>>>,
    requests: mpsc::Receiver<oneshot::Sender<Counted>>,
    waiting: Option<oneshot::Sender<Counted>>,
    arrivals: mpsc::Sender<Counted>,
    unused: mpsc::Receiver<Infallible>,
    tally: Arc<Tally>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(super) fn new(
        port: S,
        side: Side,
        requests: mpsc::Receiver<oneshot::Sender<Counted>>,
        arrivals: mpsc::Sender<Counted>,
        unused: mpsc::Receiver<Infallible>,
    ) -> Self {
        let mode = match side {
            Side::Host => yamux::Mode::Server,
            Side::Guest => yamux::Mode::Client,
        };
        let tally = Arc::new(Tally::default());
        let port = Watched::new(port, Arc::clone(&tally)).compat();
        Self {
            connection: yamux::Connection::new(port, config(), mode),
            requests,
            waiting: None,
            arrivals,
            unused,
            tally,
        }
    }

    /// Runs until the port fails, closes, or is used by nobody any more (`Ok`). Dropping the future
    /// resets every stream.
    pub async fn run(mut self) -> Result<(), MuxError> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), MuxError>> {
        loop {
            if let Poll::Ready(None) = self.unused.poll_recv(cx) {
                return self.connection.poll_close(cx).map_err(MuxError::from);
            }
            if let Poll::Ready(opened) = self.poll_open(cx) {
                opened?;
                continue;
            }
            match ready!(self.connection.poll_next_inbound(cx)) {
                // A full queue means that nobody accepts; dropping the stream resets it.
                Some(Ok(stream)) => {
                    let stream = Counted::new(stream, &self.tally);
                    drop(self.arrivals.try_send(stream));
                }
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Serves one request to open a stream. Pending also when all openers are gone: the streams that
    /// they opened still need driving.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), MuxError>> {
        if self.waiting.is_none() {
            match ready!(self.requests.poll_recv(cx)) {
                Some(reply) => self.waiting = Some(reply),
                None => return Poll::Pending,
            }
        }
        let stream = ready!(self.connection.poll_new_outbound(cx))?;
        let stream = Counted::new(stream, &self.tally);
        if let Some(reply) = self.waiting.take() {
            drop(reply.send(stream)); // the asker may have gone
        }
        Poll::Ready(Ok(()))
    }
}
