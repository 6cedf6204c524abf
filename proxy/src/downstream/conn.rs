//! A client's connection: its heads, the bodies between them, and how long either may take.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::Method;
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::Broken;
use crate::http1::ahead::ReadAhead;
use crate::http1::decode::{Decoder, Framing, Piece};
use crate::http1::head::{self, Head, HeadError};
use crate::io::stall::Stall;
use crate::options::Limits;

/// What asks a client for the body that it holds back (RFC 9110 §15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is read of a body that nobody wants, so that another request can follow it.
const UNWANTED: usize = 64 * 1024;

/// A connection that yields one message at a time.
#[derive(Debug)]
pub(crate) struct Conn<I> {
    io: I,
    ahead: ReadAhead,
    /// How far an unfinished head has been looked through.
    looked: usize,
    body: BodyState,
    /// Of the request whose body is next or being read.
    number: u64,
    reader: Reader,
    /// What is left to say before the body comes.
    interim: &'static [u8],
    limits: Arc<Limits>,
    /// Until when the next head must be there.
    due: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    /// A client that does not read its answer.
    stall: Stall,
}

#[derive(Debug)]
enum BodyState {
    /// There is none, or all of it was read.
    Over,
    Open(Decoder),
    /// Where it ends nobody knows.
    Broken,
}

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct Asking {
    /// The head as it came. Empty if it had no end.
    pub(crate) raw: Bytes,
    pub(crate) head: Result<Head, HeadError>,
}

/// What the first head of a connection is.
#[derive(Debug)]
pub(crate) enum First {
    /// A well-formed `CONNECT`: its head.
    Connect(Bytes),
    /// Any other request, or none.
    Request(Box<Asking>),
    /// The client left, or never said anything.
    Closed,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Conn<I> {
    pub(crate) fn new(io: I, limits: Arc<Limits>) -> Self {
        Self {
            io,
            ahead: ReadAhead::default(),
            looked: 0,
            body: BodyState::Over,
            number: 0,
            reader: Reader::default(),
            interim: b"",
            due: Instant::now() + limits.head,
            sleep: None,
            stall: Stall::new(limits.body_idle),
            limits,
        }
    }

    /// Waits for the first head. Only here a `CONNECT` is one.
    pub(crate) async fn first(&mut self) -> First {
        let Some(mut asking) = std::future::poll_fn(|cx| self.poll_head(cx)).await else {
            return First::Closed;
        };
        match &asking.head {
            Ok(head) if head.method == Method::CONNECT => {
                // A tunnel has no request body to frame (RFC 9110 §9.3.6).
                if head.body == Framing::Length(0) {
                    return First::Connect(asking.raw);
                }
                asking.head = Err(HeadError::TwoLengths);
            }
            Ok(_) | Err(_) => {}
        }
        First::Request(asking.into())
    }

    /// The connection itself and what was read beyond the last head.
    pub(crate) fn into_tunnel(self) -> (I, Bytes) {
        (self.io, self.ahead.bytes.freeze())
    }

    /// Reads until a whole head is there and judges it. None when the client left, or took too long.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Option<Asking>> {
        loop {
            let bytes = &mut self.ahead.bytes;
            match head::end(bytes, self.looked, head::MAX_BYTES) {
                Ok(Some(end)) => {
                    let raw = bytes.split_to(end).freeze();
                    self.looked = 0;
                    let head = head::read(&raw);
                    return Poll::Ready(Some(Asking { raw, head }));
                }
                Ok(None) => {
                    if self.looked == 0 && !bytes.is_empty() {
                        self.due = Instant::now() + self.limits.head;
                    }
                    self.looked = bytes.len();
                }
                Err(error) => {
                    let (raw, head) = (Bytes::new(), Err(error));
                    return Poll::Ready(Some(Asking { raw, head }));
                }
            }
            match self.ahead.poll_fill(cx, &mut self.io) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {
                    ready!(self.poll_due(cx));
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Ready when the deadline has passed. COST: the timer is only ever moved when it fires or must fire earlier.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.due;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < sleep.deadline() {
            sleep.as_mut().reset(due);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }

    /// A request with this body begins. Returns its number.
    pub(super) fn begin(&mut self, framing: Framing, expects: bool) -> u64 {
        self.body = match framing {
            Framing::Length(0) => BodyState::Over,
            framing => BodyState::Open(Decoder::new(framing)),
        };
        self.interim = if expects { CONTINUE } else { b"" };
        self.number
    }

    /// See [`super::body::Source::poll_body`].
    #[expect(clippy::type_complexity, reason = "as there")]
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        number: u64,
    ) -> Poll<Result<Option<(Frame<Bytes>, bool)>, Broken>> {
        // INVARIANT: who reads a body never reads what comes behind it.
        if number != self.number {
            return Poll::Ready(Err(Broken::Ended));
        }
        let next = self.poll_next(cx);
        match &next {
            Poll::Pending => self.reader.0 = Some(cx.waker().clone()),
            Poll::Ready(Err(_)) => self.body = BodyState::Broken,
            Poll::Ready(Ok(_)) => {}
        }
        next
    }

    #[expect(clippy::type_complexity, reason = "as above")]
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<(Frame<Bytes>, bool)>, Broken>> {
        loop {
            let decoder = match &mut self.body {
                BodyState::Over => return Poll::Ready(Ok(None)),
                BodyState::Open(decoder) => decoder,
                BodyState::Broken => return Poll::Ready(Err(Broken::Ended)),
            };
            let bytes = &mut self.ahead.bytes;
            match decoder.next(bytes).map_err(Broken::Framing)? {
                Piece::Data(data) => {
                    let last = decoder.is_over(bytes).map_err(Broken::Framing)?;
                    if last {
                        self.body = BodyState::Over;
                    }
                    return Poll::Ready(Ok(Some((Frame::data(data), last))));
                }
                Piece::Trailers(trailers) => {
                    self.body = BodyState::Over;
                    return Poll::Ready(Ok(Some((Frame::trailers(trailers), true))));
                }
                Piece::End => self.body = BodyState::Over,
                Piece::More => {
                    ready!(self.poll_interim(cx))?;
                    if ready!(self.ahead.poll_fill(cx, &mut self.io))? == 0 {
                        return Poll::Ready(Err(Broken::Ended));
                    }
                }
            }
        }
    }

    /// Asks for the body, if it has to be asked for and the answer has not begun.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let written = Pin::new(&mut self.io).poll_write(cx, self.interim);
            let written = ready!(self.stall.check(cx, written))?;
            self.interim = self.interim.get(written..).unwrap_or_default();
            if self.interim.is_empty() {
                let flushed = Pin::new(&mut self.io).poll_flush(cx);
                ready!(self.stall.check(cx, flushed))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The answer begins. Returns what has to be said before it: the rest of what was begun.
    pub(super) fn answers(&mut self) -> &'static [u8] {
        match std::mem::take(&mut self.interim) {
            CONTINUE => b"",
            rest => rest,
        }
    }

    /// Ready when the client has left, as far as that can be seen without reading what is not wanted yet.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ahead.bytes.is_empty() || !matches!(self.body, BodyState::Over) {
            return Poll::Pending;
        }
        match ready!(self.ahead.poll_fill(cx, &mut self.io)) {
            Ok(1..) => Poll::Pending,
            Ok(0) | Err(_) => Poll::Ready(()),
        }
    }

    /// Nobody reads the body any more. Returns whether it is over, after a look at what is there of the rest.
    pub(super) fn end_body(&mut self, cx: &mut Context<'_>) -> bool {
        if matches!(self.body, BodyState::Open(_)) {
            self.number += 1;
            self.reader.wake();
            // What was not asked for may never come, and is not asked for now.
            if self.interim.len() == CONTINUE.len() {
                self.interim = b"";
            }
            self.skip(cx);
        }
        matches!(self.body, BodyState::Over)
    }

    fn skip(&mut self, cx: &mut Context<'_>) {
        let mut left = UNWANTED;
        while let Poll::Ready(Ok(Some((frame, _)))) = self.poll_next(cx) {
            let data = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(data) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }

    /// The answer was sent, and the next request may come.
    pub(super) fn again(&mut self) {
        self.number += 1;
        self.reader.0 = None;
        self.due = Instant::now()
            + match self.ahead.bytes.is_empty() {
                true => self.limits.idle,
                false => self.limits.head,
            };
    }

    /// Reads and forgets at most `left` bytes. Ready at the end.
    pub(super) fn poll_ignore(&mut self, cx: &mut Context<'_>, left: &mut usize) -> Poll<()> {
        while *left > 0 {
            self.ahead.bytes.clear();
            match ready!(self.ahead.poll_fill(cx, &mut self.io)) {
                Ok(read @ 1..) => *left = left.saturating_sub(read),
                Ok(0) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl<I: AsyncWrite + Unpin> Conn<I> {
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        let written = match bytes {
            [only] => io.poll_write(cx, only),
            several => io.poll_write_vectored(cx, several),
        };
        self.stall.check(cx, written)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.stall.check(cx, flushed)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.stall.check(cx, shut)
    }
}

/// Whoever waits for more of a body. Told when nothing more comes.
#[derive(Debug, Default)]
struct Reader(Option<Waker>);

impl Reader {
    fn wake(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::io::{AsyncWriteExt as _, duplex};

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn how_long_a_client_is_waited_for() {
        let limits = Arc::new(Limits {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            ..Limits::default()
        });
        // What comes, how many requests that is, and seconds until the connection is given up.
        let rows: &[(&[&[u8]], usize, u64)] = &[
            (&[], 0, 10),
            (&[b"GET / HT"], 0, 10),
            (&[GET], 1, 120),
            (&[GET, GET], 2, 120),
            (&[GET, b"G"], 1, 10),
        ];
        for (sent, requests, expected) in rows {
            let (mut client, server) = duplex(1024);
            client.write_all(&sent.concat()).await.unwrap();
            let mut conn = Conn::new(server, limits.clone());
            let mut heard = 0;
            let began = Instant::now();
            while poll_fn(|cx| conn.poll_head(cx)).await.is_some() {
                heard += 1;
                conn.again();
            }
            assert_eq!(heard, *requests);
            assert_eq!(began.elapsed().as_secs(), *expected, "{requests}");
        }
    }

    #[tokio::test]
    async fn a_body_ends_where_it_ends() {
        let post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
        let (mut client, server) = duplex(1024);
        client.write_all(&[&post[..], GET].concat()).await.unwrap();
        let mut conn = Conn::new(server, Arc::default());
        let asking = poll_fn(|cx| conn.poll_head(cx)).await.unwrap();
        let number = conn.begin(asking.head.unwrap().body, false);
        let read = poll_fn(|cx| conn.poll_body(cx, number)).await;
        let (frame, last) = read.unwrap().unwrap();
        assert_eq!((&**frame.data_ref().unwrap(), last), (&b"hello"[..], true));
        // Whoever goes on reading reads nothing of the next request, before and after it has begun.
        let more = poll_fn(|cx| conn.poll_body(cx, number)).await;
        assert!(matches!(more, Ok(None)));
        conn.again();
        let asking = poll_fn(|cx| conn.poll_head(cx)).await.unwrap();
        conn.begin(asking.head.unwrap().body, false);
        let more = poll_fn(|cx| conn.poll_body(cx, number)).await;
        assert!(matches!(more, Err(Broken::Ended)));
    }

    #[tokio::test]
    async fn what_is_left_of_a_body_is_taken_if_it_is_there() {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length:";
        let rows = [
            (format!("{head} 5\r\n\r\nhello"), false, true),
            (format!("{head} 5\r\n\r\nhell"), false, false),
            (format!("{head} 5\r\n\r\n"), true, false),
            (format!("{head} 5\r\n\r\nhello"), true, true),
        ];
        for (sent, expects, expected) in rows {
            let (mut client, server) = duplex(1024);
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut conn = Conn::new(server, Arc::default());
            let asking = poll_fn(|cx| conn.poll_head(cx)).await.unwrap();
            conn.begin(asking.head.unwrap().body, expects);
            let over = poll_fn(|cx| Poll::Ready(conn.end_body(cx))).await;
            assert_eq!(over, expected, "{sent:?} {expects}");
        }
    }
}
