//! The body of a request, read from the client's connection as its reader asks for it.

use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::http1::decode::BadBody;

/// Whichever HTTP it comes over.
pub(crate) enum ClientBody {
    None,
    Http1(Inbound),
    Http2(Incoming),
}

/// Why it ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The client left, or the proxy no longer listens.
    #[error("the client's body ended early")]
    Ended,
    #[error("the client's body is not correctly framed")]
    Framing(BadBody),
    #[error("the client's connection failed")]
    Io(#[from] std::io::Error),
    #[error("the client's stream failed")]
    Http2(#[from] hyper::Error),
}

impl Broken {
    /// Whether the client is no longer there.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::Ended | Self::Io(_) | Self::Http2(_) => true,
            Self::Framing(_) => false,
        }
    }
}

/// A connection with a body to read.
pub(super) trait Source: Send + Sync {
    /// The next frame of the body with this number, and whether it is the last.
    #[expect(
        clippy::type_complexity,
        reason = "a frame as `Body` has it, and a word"
    )]
    fn poll_body(
        &self,
        cx: &mut Context<'_>,
        number: u64,
    ) -> Poll<Result<Option<(Frame<Bytes>, bool)>, Broken>>;
}

/// A body on an HTTP/1 connection. It does not keep the connection open.
pub(crate) struct Inbound {
    source: Weak<dyn Source>,
    /// Of the request on its connection.
    number: u64,
    /// Bytes that are left, where that is known.
    left: Option<u64>,
    over: bool,
}

impl Inbound {
    pub(super) fn new(source: Weak<dyn Source>, number: u64, length: Option<u64>) -> Self {
        Self {
            source,
            number,
            left: length,
            over: false,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = match self.source.upgrade() {
            Some(source) => ready!(source.poll_body(cx, self.number)),
            None => Err(Broken::Ended),
        };
        let (frame, last) = match next {
            Ok(Some((frame, last))) => (Some(Ok(frame)), last),
            Ok(None) => (None, true),
            Err(error) => (Some(Err(error)), true),
        };
        self.over = last;
        if let (Some(left), Some(Ok(frame))) = (&mut self.left, &frame) {
            let data = frame.data_ref().map_or(0, Bytes::len);
            *left = left.saturating_sub(data as u64);
        }
        Poll::Ready(frame)
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::None => Poll::Ready(None),
            Self::Http1(body) => body.poll_frame(cx),
            Self::Http2(body) => Poll::Ready(
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(Broken::Http2)),
            ),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Http1(body) => body.over,
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None => SizeHint::with_exact(0),
            Self::Http1(body) => body
                .left
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
