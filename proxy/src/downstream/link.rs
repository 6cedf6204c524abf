//! A connection between whoever serves it and whoever reads the body of a request on it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::body::{Broken, Inbound, Source};
use super::conn::{Asking, Conn};
use crate::answer::Answer;
use crate::http1::decode::Framing;
use crate::http1::sending::Sending;
use crate::io::prefixed::Prefixed;

/// How long a client that is still sending may go on after the last answer. A connection closed under it would take the
/// answer along before it is read (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);

/// How much of it is taken meanwhile: about what may be on its way.
const IGNORED: usize = 1024 * 1024;

/// Locked only while something is polled, never across an `await`, and never while somebody else's code runs.
pub(super) struct Link<I>(Arc<Mutex<Conn<I>>>);

impl<I: AsyncRead + AsyncWrite + Unpin + Send + 'static> Link<I> {
    pub(super) fn new(conn: Conn<I>) -> Self {
        Self(Arc::new(Mutex::new(conn)))
    }

    fn lock(&self) -> MutexGuard<'_, Conn<I>> {
        lock(&self.0)
    }

    /// The next request. None when the client left, or took too long.
    pub(super) async fn head(&self) -> Option<Asking> {
        poll_fn(|cx| self.lock().poll_head(cx)).await
    }

    /// The body of the request that was read last. `expects` if the client waits to be asked for it.
    pub(super) fn begin(&self, framing: Framing, expects: bool) -> Option<Inbound> {
        let length = match framing {
            Framing::Length(0) => return None,
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::Close => None,
        };
        let number = self.lock().begin(framing, expects);
        let source: Weak<Mutex<Conn<I>>> = Arc::downgrade(&self.0);
        Some(Inbound::new(source, number, length))
    }

    /// What `work` comes to. None if the client leaves first.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T> + Unpin) -> Option<T> {
        let mut work = work;
        poll_fn(|cx| match Pin::new(&mut work).poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.lock().poll_gone(cx).map(|()| None),
        })
        .await
    }

    /// Sends an answer. None if the client does not take it, or it is cut short.
    pub(super) async fn send(&self, mut answer: Sending<Answer>) -> Option<()> {
        answer.after(self.lock().answers());
        poll_fn(|cx| match answer.poll(cx, &mut Pen(&self.0)) {
            Poll::Ready(sent) => Poll::Ready(sent.ok()),
            Poll::Pending => self.lock().poll_gone(cx).map(|()| None),
        })
        .await
    }

    /// Nobody reads the request's body any more. Returns whether it is over, after a look at what is there of the rest.
    pub(super) async fn end_body(&self) -> bool {
        poll_fn(|cx| Poll::Ready(self.lock().end_body(cx))).await
    }

    /// The answer was sent, and the next request may come.
    pub(super) fn again(&self) {
        self.lock().again();
    }

    /// Says that nothing more comes. Behind an answer to something that was not read whole it takes its time.
    pub(super) async fn close(&self, unread: bool) {
        let farewell = async {
            poll_fn(|cx| self.lock().poll_shutdown(cx)).await?;
            if unread {
                let mut left = IGNORED;
                poll_fn(|cx| self.lock().poll_ignore(cx, &mut left)).await;
            }
            io::Result::Ok(())
        };
        // Whether it was heard makes no difference.
        let _ = timeout(LINGER, farewell).await;
    }

    /// The client, for another protocol. None if somebody is just reading.
    pub(super) fn into_client(self) -> Option<Prefixed<I>> {
        let conn = Arc::into_inner(self.0)?;
        let conn = conn.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (io, ahead) = conn.into_tunnel();
        Some(Prefixed::new(ahead, io))
    }
}

fn lock<I>(conn: &Mutex<Conn<I>>) -> MutexGuard<'_, Conn<I>> {
    conn.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> Source for Mutex<Conn<I>> {
    fn poll_body(
        &self,
        cx: &mut Context<'_>,
        number: u64,
    ) -> Poll<Result<Option<(Frame<Bytes>, bool)>, Broken>> {
        lock(self).poll_body(cx, number)
    }
}

/// The way to write.
struct Pen<'a, I>(&'a Mutex<Conn<I>>);

impl<I: AsyncWrite + Unpin> AsyncWrite for Pen<'_, I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        lock(self.0).poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(self.0).poll_write(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(self.0).poll_shutdown(cx)
    }
}
