//! One stream of a port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use super::InUse;

/// A byte stream with half-close. Dropping it without shutdown resets it, and the peer sees that as
/// [`io::ErrorKind::ConnectionReset`] rather than as a clean end.
#[derive(Debug)]
pub struct Stream {
    inner: Compat<yamux::Stream>,
    finished: bool,
    _in_use: InUse,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Stream {
    pub(super) fn new(
        stream: yamux::Stream,
        in_use: InUse,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            inner: stream.compat(),
            finished: false,
            _in_use: in_use,
            _permit: permit,
        }
    }

    /// Yamux reports a reset as an end of file. A stream that ended in both directions although this
    /// side never ended its own was reset.
    fn was_reset(&self) -> bool {
        !self.finished && self.inner.get_ref().is_closed()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let ended = buf.filled().len() == before && buf.remaining() > 0;
        if ended && self.was_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finished = true;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
