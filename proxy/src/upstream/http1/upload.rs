//! A request on its way: its head, and its body as the client sends it.

use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http::request::Parts;
use hyper::body::{Body as _, Frame};
use tokio::io::AsyncWrite;
use tokio::time::timeout;

use super::Error;
use super::request::{self, Form, Length};
use crate::upstream::body::{BodyError, RequestBody};

/// Holds at most one frame of the body at a time: a slow origin holds up the client.
pub(super) struct Upload {
    /// To be written in this order: head and framing, a frame's data, the framing behind it.
    front: BytesMut,
    data: Bytes,
    back: BytesMut,
    body: RequestBody,
    length: Length,
    /// The body has ended, and all of it is above.
    ended: bool,
    unflushed: bool,
    /// All of it is with the origin.
    over: bool,
}

impl Upload {
    pub(super) fn new(parts: &Parts, body: RequestBody, form: &Form) -> Self {
        let length = match (body.is_empty(), body.size_hint().exact()) {
            (true, _) => Length::None,
            (false, Some(length)) => Length::Exact(length),
            (false, None) => Length::Chunked,
        };
        Self {
            front: request::head(parts, form, length),
            data: Bytes::new(),
            back: BytesMut::new(),
            body,
            length,
            ended: length == Length::None,
            unflushed: false,
            over: false,
        }
    }

    /// Whether the origin has all of it.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the body waits for the origin's word.
    pub(super) fn is_held(&self) -> bool {
        self.body.is_held()
    }

    /// Sends what can be sent. Ready when all of it was.
    pub(super) fn poll<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<Result<(), Error>> {
        while !self.over {
            let waits = !self.ended && self.data.is_empty() && self.poll_frame(cx)?.is_pending();
            if !self.is_written() {
                ready!(self.poll_write(cx, to))?;
            } else if waits || self.ended {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    self.unflushed = false;
                }
                if waits {
                    return Poll::Pending;
                }
                self.over = true;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the rest, as long as it moves at least once in `allowance`.
    pub(super) async fn run<W: AsyncWrite + Unpin>(mut self, mut to: W, allowance: Duration) {
        let traffic = self.body.traffic().clone();
        let mut sending = pin!(std::future::poll_fn(|cx| self.poll(cx, &mut to)));
        loop {
            let before = traffic.up();
            // What goes wrong here, the answer shows, which is being read.
            if timeout(allowance, sending.as_mut()).await.is_ok() || traffic.up() == before {
                return;
            }
        }
    }

    fn is_written(&self) -> bool {
        self.front.is_empty() && self.data.is_empty() && self.back.is_empty()
    }

    /// Takes the next frame of the body.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame.transpose()?.map(Frame::into_data) {
            None => self.end(&HeaderMap::new()),
            Some(Ok(data)) => self.queue(data),
            Some(Err(frame)) => self.end(&frame.into_trailers().unwrap_or_default()),
        })
    }

    fn queue(&mut self, data: Bytes) -> Result<(), BodyError> {
        match &mut self.length {
            Length::None => return Err(BodyError::Length),
            Length::Exact(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(BodyError::Length)?;
            }
            // A chunk without data would be the last one.
            Length::Chunked if data.is_empty() => {}
            Length::Chunked => {
                let size = format!("{:x}\r\n", data.len());
                self.front.extend_from_slice(size.as_bytes());
                self.back.extend_from_slice(b"\r\n");
            }
        }
        self.data = data;
        match self.body.is_end_stream() {
            true => self.end(&HeaderMap::new()),
            false => Ok(()),
        }
    }

    fn end(&mut self, trailers: &HeaderMap) -> Result<(), BodyError> {
        match self.length {
            Length::None | Length::Exact(0) => {}
            Length::Exact(_) => return Err(BodyError::Length),
            Length::Chunked => self.back.unsplit(request::last_chunk(trailers)),
        }
        self.ended = true;
        Ok(())
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<Result<(), Error>> {
        let parts = [&*self.front, &*self.data, &*self.back].map(IoSlice::new);
        let filled = parts.iter().filter(|part| !part.is_empty()).count();
        let first = parts.iter().find(|part| !part.is_empty());
        let mut written = ready!(match first {
            Some(first) if filled == 1 => Pin::new(to).poll_write(cx, first),
            _ => Pin::new(to).poll_write_vectored(cx, &parts),
        })?;
        if written == 0 {
            return Poll::Ready(Err(
                std::io::Error::from(std::io::ErrorKind::WriteZero).into()
            ));
        }
        self.unflushed = true;
        let mut advance = |part: &mut dyn bytes::Buf| {
            let step = written.min(part.remaining());
            part.advance(step);
            written -= step;
        };
        advance(&mut self.front);
        advance(&mut self.data);
        advance(&mut self.back);
        Poll::Ready(Ok(()))
    }
}
