//! A message on its way: its head, and its body as it comes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Body, Frame};
use tokio::io::AsyncWrite;

use super::write;

/// How the receiver finds the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// There is no body.
    None,
    Exact(u64),
    Chunked,
    /// Where the connection ends.
    Close,
}

/// Why a message was not sent whole.
#[derive(Debug)]
pub(crate) enum SendError<E> {
    /// Its body failed.
    Body(E),
    /// Its body is not as long as the head says.
    Length,
    /// The receiver does not take it.
    Io(io::Error),
}

/// Holds at most one frame of the body at a time: a slow receiver holds up the sender.
pub(crate) struct Sending<B> {
    /// To be written in this order: head and framing, a frame's data, the framing behind it.
    front: BytesMut,
    data: Bytes,
    back: BytesMut,
    body: B,
    length: Length,
    /// Whether the receiver gets trailers.
    trailers: bool,
    /// The body has ended, and all of it is above.
    ended: bool,
    unflushed: bool,
    /// All of it is with the receiver.
    over: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Sending<B> {
    /// `head` says `length`.
    pub(crate) fn new(head: BytesMut, length: Length, body: B) -> Self {
        Self {
            front: head,
            data: Bytes::new(),
            back: BytesMut::new(),
            ended: body.is_end_stream() && matches!(length, Length::None | Length::Exact(0)),
            body,
            length,
            trailers: true,
            unflushed: false,
            over: false,
        }
    }

    /// The same with trailers or without.
    pub(crate) fn trailers(self, trailers: bool) -> Self {
        Self { trailers, ..self }
    }

    /// What has to be said before the head.
    pub(crate) fn after(&mut self, before: &[u8]) {
        if !before.is_empty() {
            let head = std::mem::replace(&mut self.front, BytesMut::from(before));
            self.front.unsplit(head);
        }
    }

    /// Whether the receiver has all of it.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn body(&self) -> &B {
        &self.body
    }

    /// Sends what can be sent. Ready when all of it was.
    pub(crate) fn poll<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<Result<(), SendError<B::Error>>> {
        while !self.over {
            let waits = !self.ended && self.has_room() && self.poll_frame(cx)?.is_pending();
            if !self.is_written() {
                ready!(self.poll_write(cx, to)).map_err(SendError::Io)?;
            } else if waits || self.ended {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(SendError::Io)?;
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

    /// Whether another frame can be taken: what is still in front of it goes before its framing.
    fn has_room(&self) -> bool {
        self.data.is_empty() && self.back.is_empty()
    }

    fn is_written(&self) -> bool {
        self.front.is_empty() && self.has_room()
    }

    /// Takes the next frame of the body.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let frame = frame.transpose().map_err(SendError::Body)?;
        Poll::Ready(match frame.map(Frame::into_data) {
            None => self.end(&HeaderMap::new()),
            Some(Ok(data)) => self.queue(data),
            Some(Err(frame)) => self.end(&frame.into_trailers().unwrap_or_default()),
        })
    }

    fn queue(&mut self, data: Bytes) -> Result<(), SendError<B::Error>> {
        match &mut self.length {
            Length::None if data.is_empty() => {}
            Length::None => return Err(SendError::Length),
            Length::Exact(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(SendError::Length)?;
            }
            // A chunk without data would be the last one.
            Length::Chunked if data.is_empty() => {}
            Length::Chunked => {
                write::chunk_size(&mut self.front, data.len());
                self.back.extend_from_slice(b"\r\n");
            }
            Length::Close => {}
        }
        self.data = data;
        match self.body.is_end_stream() {
            true => self.end(&HeaderMap::new()),
            false => Ok(()),
        }
    }

    fn end(&mut self, trailers: &HeaderMap) -> Result<(), SendError<B::Error>> {
        match self.length {
            Length::None | Length::Exact(0) | Length::Close => {}
            Length::Exact(_) => return Err(SendError::Length),
            Length::Chunked if self.trailers => write::last_chunk(&mut self.back, trailers),
            Length::Chunked => write::last_chunk(&mut self.back, &HeaderMap::new()),
        }
        self.ended = true;
        Ok(())
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        let parts = [&*self.front, &*self.data, &*self.back].map(IoSlice::new);
        let filled = parts.iter().filter(|part| !part.is_empty()).count();
        let first = parts.iter().find(|part| !part.is_empty());
        let mut written = ready!(match first {
            Some(first) if filled == 1 => Pin::new(to).poll_write(cx, first),
            _ => Pin::new(to).poll_write_vectored(cx, &parts),
        })?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::StreamBody;
    use std::convert::Infallible;

    /// Takes a few bytes at a time.
    struct Narrow(Vec<u8>, usize);

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn however_little_is_taken_at_once() {
        let rows: &[(Length, &[&str], Option<&str>)] = &[
            (Length::None, &[], Some("")),
            (Length::None, &[""], Some("")),
            (Length::None, &["a"], None),
            (Length::Exact(5), &["hel", "", "lo"], Some("hello")),
            (Length::Exact(5), &["hell"], None),
            (Length::Exact(5), &["hello", "!"], None),
            (Length::Close, &["hel", "lo"], Some("hello")),
            (Length::Chunked, &[], Some("0\r\nt: u\r\n\r\n")),
            (
                Length::Chunked,
                &["hello world, ten", "", "b"],
                Some("10\r\nhello world, ten\r\n1\r\nb\r\n0\r\nt: u\r\n\r\n"),
            ),
        ];
        for (length, frames, expected) in rows {
            for size in [1, 2, 3, 7, 100] {
                let mut trailers = HeaderMap::new();
                trailers.insert("t", http::HeaderValue::from_static("u"));
                let frames = frames
                    .iter()
                    .map(|data| Frame::data(Bytes::copy_from_slice(data.as_bytes())))
                    .chain([Frame::trailers(trailers)])
                    .map(Ok::<_, Infallible>);
                let body = StreamBody::new(stream::iter(frames));
                let mut sending = Sending::new(BytesMut::from("head\r\n\r\n"), *length, body);
                let mut to = Narrow(Vec::new(), size);
                let sent = std::future::poll_fn(|cx| sending.poll(cx, &mut to)).await;
                let written = String::from_utf8(to.0).unwrap();
                assert_eq!(
                    sent.ok().map(|()| written),
                    expected.map(|body| format!("head\r\n\r\n{body}")),
                    "{length:?} {size}"
                );
            }
        }
    }
}
