//! An HTTP/1 connection to an origin.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use http::Method;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio_util::io::poll_read_buf;

use super::head::{self, Head};
use super::{Error, Form};
use crate::upstream::stream::Stream;

/// One read while answers are small.
const SMALL: usize = 8 * 1024;

/// One allocation once they are not. COST: what an answer holds while its client is slow.
const LARGE: usize = 64 * 1024;

/// A connection that carries one exchange after the other.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(super) stream: Stream,
    pub(super) form: Form,
    pub(super) read: ReadAhead,
}

impl Wire {
    pub(crate) fn new(stream: Stream, form: Form) -> Self {
        Self {
            stream,
            form,
            read: ReadAhead::default(),
        }
    }

    /// Whether it ends at a parent proxy that is asked for each request.
    pub(crate) fn is_to_parent(&self) -> bool {
        matches!(self.form, Form::Absolute(_))
    }

    /// Whether the origin is still there and has said nothing: before it is asked, it has nothing to say.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        // Nothing is to be woken: this only looks. A task that used up its turn must not see an origin as quiet for it.
        let mut cx = Context::from_waker(Waker::noop());
        let read = poll_fn(|cx| Pin::new(&mut self.stream).poll_read(cx, &mut byte));
        self.read.bytes.is_empty() && pin!(unconstrained(read)).poll(&mut cx).is_pending()
    }

    /// The next head, interim ones included.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        looked: &mut usize,
    ) -> Poll<Result<Head, Error>> {
        loop {
            if let Some(end) = head::end(&self.read.bytes, *looked)? {
                let whole = self.read.bytes.split_to(end).freeze();
                *looked = 0;
                return Poll::Ready(Ok(head::read(&whole, method)?));
            }
            *looked = self.read.bytes.len();
            if ready!(self.read.poll_fill(cx, &mut self.stream))? == 0 {
                return Poll::Ready(Err(Error::Ended));
            }
        }
    }
}

/// Bytes of an origin that were read and not yet used.
///
/// COST: no buffer while there are none. Small answers are read onto the stack and copied into an allocation of their
/// size; large ones are read to where they stay.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    pub(super) bytes: BytesMut,
    large: bool,
}

impl ReadAhead {
    /// Reads more. Ready with zero at the end.
    pub(super) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> Poll<io::Result<usize>> {
        let count = match self.large {
            true => self.poll_large(cx, from),
            false => self.poll_small(cx, from),
        };
        match count {
            Poll::Ready(Ok(count)) => self.large = count >= SMALL,
            Poll::Ready(Err(_)) | Poll::Pending => self.large = false,
        }
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        count
    }

    fn poll_small<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> Poll<io::Result<usize>> {
        let mut scratch = [MaybeUninit::<u8>::uninit(); SMALL];
        let mut scratch = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(from).poll_read(cx, &mut scratch))?;
        self.bytes.extend_from_slice(scratch.filled());
        Poll::Ready(Ok(scratch.filled().len()))
    }

    fn poll_large<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() - self.bytes.len() < SMALL {
            self.bytes.reserve(LARGE);
        }
        poll_read_buf(Pin::new(from), cx, &mut self.bytes)
    }
}
