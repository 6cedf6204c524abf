//! An HTTP/1 connection to an origin.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use http::Method;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::coop::unconstrained;

use super::head::{self, Head};
use super::{Error, Form};
use crate::http1::ahead::ReadAhead;
use crate::upstream::stream::Stream;

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
