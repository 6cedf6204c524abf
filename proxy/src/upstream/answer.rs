//! The body of an origin's answer, whichever HTTP it came over.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::http1::{self, Wire};
use super::stream::Stream;
use crate::io::prefixed::Prefixed;

/// Read as its reader asks for it.
#[derive(Debug)]
pub(crate) enum OriginBody {
    Http1(http1::Body),
    Http2(Incoming),
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CutShort {
    #[error(transparent)]
    Http1(#[from] http1::Error),
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl OriginBody {
    /// The HTTP/1 connection behind it, if it can be used again now that the body is over.
    pub(crate) fn release(&mut self) -> Option<Wire> {
        match self {
            Self::Http1(body) => body.release(),
            Self::Http2(_) => None,
        }
    }

    /// The connection behind an answer that switches protocols.
    pub(crate) fn into_upgraded(self) -> Option<Prefixed<Stream>> {
        match self {
            Self::Http1(body) => body.into_upgraded(),
            Self::Http2(_) => None,
        }
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        Poll::Ready(match &mut *self {
            Self::Http1(body) => ready!(body.poll_frame(cx)).map(|frame| Ok(frame?)),
            Self::Http2(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| Ok(frame?)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
