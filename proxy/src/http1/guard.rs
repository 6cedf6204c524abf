//! The strict reader in front of hyper: a connection that yields one checked message at a time.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::chunked::Chunked;
use super::head::{self, Framing, Head, HeadError, Method};
use crate::io::stall::Stall;
use crate::options::Limits;

/// What hyper reads in place of a head that was refused. The handler never looks at it: it finds the cause in
/// [`Shared`] first and answers in its turn, after the answers to earlier requests, and closes.
const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// What guard and request handler tell each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    refused: Mutex<Option<HeadError>>,
    in_flight: AtomicU32,
    begun: AtomicU32,
    raw: AtomicBool,
}

impl Shared {
    /// From here on the connection carries another protocol: bytes pass unchecked.
    pub(crate) fn upgraded(&self) {
        self.raw.store(true, Ordering::Release);
    }

    /// The cause why the request now being handled is not one.
    pub(crate) fn take_refused(&self) -> Option<HeadError> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Holds off the idle deadline until the returned value is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Whether no request is being answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// How many requests there have been.
    pub(crate) fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }
}

/// A request is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection whose requests are checked before anybody else sees them.
#[derive(Debug)]
pub(crate) struct Guard<I> {
    io: I,
    /// Read and not yet handed on.
    kept: BytesMut,
    /// How much of the front of `kept` has passed.
    checked: usize,
    /// How far an unfinished head has been looked through.
    looked: usize,
    state: State,
    shared: Arc<Shared>,
    limits: Arc<Limits>,
    due: Instant,
    sleep: Pin<Box<Sleep>>,
    /// A client that does not read its answer.
    stall: Stall,
}

#[derive(Debug)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunked),
    /// After a refusal: nothing more is read.
    Closed,
}

impl<I: AsyncRead + Unpin> Guard<I> {
    pub(crate) fn new(io: I, limits: Arc<Limits>) -> Self {
        let due = Instant::now() + limits.head;
        Self {
            io,
            stall: Stall::new(limits.body_idle),
            kept: BytesMut::new(),
            checked: 0,
            looked: 0,
            state: State::Head,
            shared: Arc::default(),
            limits,
            due,
            sleep: Box::pin(tokio::time::sleep_until(due)),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits for the first head. A good `CONNECT` is taken out and returned; anything else stays for hyper.
    pub(crate) async fn first(&mut self) -> io::Result<First> {
        std::future::poll_fn(|cx| self.poll_first(cx)).await
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<First>> {
        Poll::Ready(Ok(match ready!(self.poll_head(cx))? {
            None => First::Closed,
            Some((
                length,
                Ok(Head {
                    method: Method::Connect,
                    body: Framing::Length(0),
                }),
            )) => {
                self.looked = 0;
                First::Connect(self.kept.split_to(length).freeze())
            }
            // A tunnel has no request body to frame (RFC 9110 §9.3.6).
            Some((
                _,
                Ok(Head {
                    method: Method::Connect,
                    ..
                }),
            )) => {
                self.refuse(HeadError::TwoLengths);
                First::Request
            }
            Some((length, verdict)) => {
                self.accept(length, verdict);
                First::Request
            }
        }))
    }

    /// The head that was let pass last, or the stand-in for a refused one, until it is read.
    pub(crate) fn head(&self) -> &[u8] {
        self.kept.get(..self.checked).unwrap_or_default()
    }

    /// The connection itself and what was read beyond the head of a `CONNECT`.
    pub(crate) fn into_tunnel(self) -> (I, Bytes) {
        (self.io, self.kept.freeze())
    }

    /// Reads until a whole head is in `kept` and judges it. None at a clean end of the connection.
    #[expect(clippy::type_complexity, reason = "a length and a verdict, used twice")]
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<(usize, Result<Head, HeadError>)>>> {
        loop {
            match head::end(&self.kept, self.looked, head::MAX_BYTES) {
                Ok(Some(end)) => {
                    let verdict = head::check(self.kept.get(..end).unwrap_or_default());
                    return Poll::Ready(Ok(Some((end, verdict))));
                }
                Ok(None) => self.looked = self.kept.len(),
                Err(error) => return Poll::Ready(Ok(Some((self.kept.len(), Err(error))))),
            }
            let read = match self.poll_fill(cx)? {
                Poll::Ready(read) => read,
                Poll::Pending => {
                    ready!(self.poll_due(cx));
                    // Slow or silent: to hyper it looks as if the client had gone.
                    0
                }
            };
            if read == 0 {
                return Poll::Ready(Ok(None));
            }
            if self.looked == 0 {
                self.due = Instant::now() + self.limits.head;
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = [MaybeUninit::<u8>::uninit(); 8 * 1024];
        let mut scratch = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut scratch))?;
        self.kept.extend_from_slice(scratch.filled());
        Poll::Ready(Ok(scratch.filled().len()))
    }

    /// Ready when the deadline has passed. The timer is only ever moved when it fires or must fire earlier.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.due < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.due);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.kept.is_empty() && self.shared.in_flight.load(Ordering::Relaxed) > 0 {
                self.due = Instant::now() + self.limits.idle;
            }
            if self.due <= Instant::now() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.due);
        }
    }

    fn accept(&mut self, length: usize, verdict: Result<Head, HeadError>) {
        match verdict {
            Err(error) => self.refuse(error),
            Ok(Head {
                method: Method::Connect,
                ..
            }) => self.refuse(HeadError::LateConnect),
            Ok(Head {
                method: Method::Other,
                body,
            }) => {
                self.checked = length;
                self.looked = 0;
                self.state = match body {
                    Framing::Length(length) => State::length(length),
                    Framing::Chunked => State::Chunked(Chunked::new()),
                };
            }
        }
    }

    fn refuse(&mut self, error: HeadError) {
        self.kept = BytesMut::from(REFUSED);
        self.checked = REFUSED.len();
        self.state = State::Closed;
        *self
            .shared
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Lets body bytes at the front of `kept` pass.
    fn pass_body(&mut self) -> io::Result<()> {
        let (passed, next) = self.state.pass(&self.kept)?;
        self.checked = passed;
        if let Some(next) = next {
            self.enter(next);
        }
        Ok(())
    }

    fn enter(&mut self, next: State) {
        self.state = next;
        self.looked = 0;
        let allowance: Duration = if self.kept.len() > self.checked {
            self.limits.head
        } else {
            self.limits.idle
        };
        self.due = Instant::now() + allowance;
    }

    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.checked.min(buf.remaining());
        buf.put_slice(self.kept.get(..count).unwrap_or_default());
        self.kept.advance(count);
        self.checked -= count;
    }
}

impl State {
    fn length(length: u64) -> Self {
        match length {
            0 => Self::Head,
            length => Self::Length(length),
        }
    }

    /// How many of `bytes` belong to the body, and the state after it if it ends in them.
    fn pass(&mut self, bytes: &[u8]) -> io::Result<(usize, Option<Self>)> {
        match self {
            Self::Head | Self::Closed => Ok((0, None)),
            Self::Length(left) => {
                let passed = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= passed as u64;
                Ok((passed, (*left == 0).then_some(Self::Head)))
            }
            Self::Chunked(chunked) => {
                let passed = chunked
                    .scan(bytes)
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, HeadError::Chunk))?;
                Ok((passed, (*chunked == Chunked::Done).then_some(Self::Head)))
            }
        }
    }
}

/// What the first head of a connection is.
#[derive(Debug)]
pub(crate) enum First {
    /// A well-formed `CONNECT`: its head.
    Connect(Bytes),
    /// Something for hyper: a request, or the stand-in for a refused one.
    Request,
    /// The client left, or never said anything.
    Closed,
}

impl<I: AsyncRead + Unpin> AsyncRead for Guard<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.checked > 0 {
                this.hand_on(buf);
                return Poll::Ready(Ok(()));
            }
            match &mut this.state {
                // Nothing more comes, but the end of the stream would make hyper give up the answer.
                State::Closed => return Poll::Pending,
                State::Head if this.shared.raw.load(Ordering::Acquire) => {
                    if this.kept.is_empty() {
                        return Pin::new(&mut this.io).poll_read(cx, buf);
                    }
                    this.checked = this.kept.len();
                }
                State::Head => match ready!(this.poll_head(cx))? {
                    None => return Poll::Ready(Ok(())),
                    Some((length, verdict)) => this.accept(length, verdict),
                },
                State::Length(_) | State::Chunked(_) if !this.kept.is_empty() => {
                    this.pass_body()?
                }
                body => {
                    let before = buf.filled().len();
                    ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                    let fresh = buf.filled().get(before..).unwrap_or_default();
                    let (passed, next) = body.pass(fresh)?;
                    // What follows the body is the next message: it waits here until it has been checked.
                    this.kept
                        .extend_from_slice(fresh.get(passed..).unwrap_or_default());
                    buf.set_filled(before + passed);
                    if let Some(next) = next {
                        this.enter(next);
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guard<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.stall.check(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.stall.check(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.stall.check(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
