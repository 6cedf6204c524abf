//! The body of an answer, which holds the connection while it lasts.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::io::{ReadHalf, WriteHalf, split};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::{AnswerError, Error, Form, Wire};
use crate::http1::ahead::ReadAhead;
use crate::http1::decode::{Decoder, Framing, Piece};
use crate::io::prefixed::Prefixed;
use crate::upstream::stream::Stream;

/// Read as its reader asks for it, and no further.
#[derive(Debug)]
pub(crate) struct Body {
    source: Source,
    form: Form,
    read: ReadAhead,
    decoder: Decoder,
    /// Whether the connection can carry another request once this is over.
    persists: bool,
    over: bool,
}

#[derive(Debug)]
enum Source {
    Whole(Stream),
    /// The rest of the request may still be on its way, in a task that ends with this.
    Half {
        reading: ReadHalf<Stream>,
        sending: Option<AbortOnDropHandle<()>>,
    },
    /// Given back or closed.
    Gone,
}

impl Body {
    pub(super) fn new(wire: Wire, framing: Framing, persists: bool) -> Self {
        let Wire { stream, form, read } = wire;
        Self {
            source: Source::Whole(stream),
            form,
            read,
            decoder: Decoder::new(framing),
            persists,
            over: framing == Framing::Length(0),
        }
    }

    /// The same while the rest of the request goes on in the task that `send` starts. COST: that task, for the few
    /// answers that begin before their request has ended.
    pub(super) fn beside(
        wire: Wire,
        framing: Framing,
        send: impl FnOnce(WriteHalf<Stream>) -> JoinHandle<()>,
    ) -> Self {
        let mut body = Self::new(wire, framing, false);
        if let Source::Whole(stream) = std::mem::replace(&mut body.source, Source::Gone) {
            let (reading, writing) = split(stream);
            body.source = Source::Half {
                reading,
                sending: Some(AbortOnDropHandle::new(send(writing))),
            };
        }
        body
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(self.poll_piece(cx));
        if matches!(frame, Some(Err(_))) {
            self.persists = false;
            self.source = Source::Gone;
        }
        Poll::Ready(frame)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        while !self.over {
            match self
                .decoder
                .next(&mut self.read.bytes)
                .map_err(AnswerError::from)?
            {
                Piece::Data(data) => {
                    self.over = self
                        .decoder
                        .is_over(&mut self.read.bytes)
                        .map_err(AnswerError::from)?;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Piece::Trailers(trailers) => {
                    self.over = true;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Piece::End => self.over = true,
                Piece::More => {
                    if ready!(self.poll_fill(cx))? > 0 {
                        continue;
                    }
                    if !self.decoder.ends_with_connection() {
                        return Poll::Ready(Some(Err(Error::Ended)));
                    }
                    self.persists = false;
                    self.over = true;
                }
            }
        }
        Poll::Ready(None)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.source {
            Source::Whole(stream) => self.read.poll_fill(cx, stream),
            Source::Half { reading, sending } => {
                if let Some(task) = sending
                    && let Poll::Ready(ended) = Pin::new(task).poll(cx)
                {
                    *sending = None;
                    // Only a panic ends it otherwise. Nobody has the other half of the connection any more.
                    ended.map_err(io::Error::other)?;
                }
                self.read.poll_fill(cx, reading)
            }
            Source::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.over
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.decoder.length() {
            Some(length) => SizeHint::with_exact(length),
            None if self.over => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }

    /// The connection, once the body is over: none if it cannot be used again, and is closed.
    ///
    /// INVARIANT: what an origin sends behind an answer is never read as the answer to another request.
    pub(crate) fn release(&mut self) -> Option<Wire> {
        let persists = self.over && self.persists && self.read.bytes.is_empty();
        match std::mem::replace(&mut self.source, Source::Gone) {
            Source::Whole(stream) if persists => Some(Wire::new(stream, self.form.clone())),
            // With the answer ends what is left of its request.
            Source::Whole(_) | Source::Half { .. } | Source::Gone => None,
        }
    }

    /// The connection as it is behind the head of a 101, with what was read of the other protocol.
    pub(crate) fn into_upgraded(self) -> Option<Prefixed<Stream>> {
        match self.source {
            Source::Whole(stream) => Some(Prefixed::new(self.read.bytes.freeze(), stream)),
            Source::Half { .. } | Source::Gone => None,
        }
    }
}
