//! One stream of a port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream as _;
use futures::io::AsyncWrite as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use super::InUse;
use super::tally::Counted;

/// A byte stream with half-close. Dropping it without shutdown resets it, and the peer sees that as
/// [`io::ErrorKind::ConnectionReset`] rather than as a clean end.
#[derive(Debug)]
pub struct Stream {
    inner: Counted,
    /// A frame that is being read, and how much of it has been.
    frame: Option<(yamux::Packet, usize)>,
    finished: bool,
    _in_use: InUse,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Stream {
    pub(super) fn new(inner: Counted, in_use: InUse, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            inner,
            frame: None,
            finished: false,
            _in_use: in_use,
            _permit: permit,
        }
    }

    /// Copies from the frame that is being read; says whether there was anything.
    fn copy(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let Some((packet, read)) = &mut self.frame else {
            return false;
        };
        let rest = packet.as_ref().get(*read..).unwrap_or_default();
        let (part, rest) = rest.split_at(rest.len().min(buf.remaining()));
        buf.put_slice(part);
        *read += part.len();
        if rest.is_empty() {
            self.frame = None;
        }
        true
    }

    /// Gets the next frame; `false` at the end.
    ///
    /// Yamux reports a reset as an end, too. A stream that ended in both directions although this side
    /// never ended its own was reset.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match ready!(Pin::new(&mut self.inner.stream).poll_next(cx)).transpose()? {
            Some(packet) => {
                self.inner.taken(packet.as_ref().len());
                self.frame = Some((packet, 0));
                Poll::Ready(Ok(true))
            }
            None if !self.finished && self.inner.stream.is_closed() => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            None => Poll::Ready(Ok(false)),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut copied = false;
        while buf.remaining() > 0 {
            if self.copy(buf) {
                copied = true;
                continue;
            }
            match self.poll_frame(cx) {
                Poll::Ready(Ok(true)) => {}
                // What was copied is told first; the end, the error or the wait come again.
                _ if copied => break,
                Poll::Ready(Ok(false)) => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
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
        Pin::new(&mut self.inner.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finished = true;
        Pin::new(&mut self.inner.stream).poll_close(cx)
    }
}
