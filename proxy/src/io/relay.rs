//! Bytes both ways until both sides are done, half-closes passed on.

use std::any::Any;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::splice::Splice;
use crate::traffic::Traffic;
use crate::upstream::stream::Stream;

/// One read. COST: lent from a pool of the thread only while bytes are on their way, so an idle tunnel holds none.
const BUFFER: usize = 64 * 1024;

/// One read between two sockets. What does not fill it is cheaper to copy than to splice.
const SMALL: usize = 16 * 1024;

/// Buffers a thread keeps.
const POOLED: usize = 16;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn lend() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| vec![0; BUFFER])
}

fn give_back(buffer: Vec<u8>) {
    POOL.with_borrow_mut(|pool| {
        if pool.len() < POOLED {
            pool.push(buffer);
        }
    });
}

/// How long a relay stands still before it is ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Nobody says anything.
    pub(crate) idle: Duration,
    /// Somebody has said something, and the other does not take it.
    pub(crate) stall: Duration,
}

/// Carries bytes between `client` and `origin` until both directions have ended, or for as long as `patience` lasts.
///
/// Between two sockets, a direction that fills a buffer goes over to `splice(2)` for as long as bytes keep coming.
pub(crate) async fn relay<C, O>(
    client: &mut C,
    origin: &mut O,
    patience: Patience,
    traffic: &Traffic,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin + 'static,
    O: AsyncRead + AsyncWrite + Unpin + 'static,
{
    if let (Some(client), Some(origin)) = (socket(client), socket(origin)) {
        let (mut up, mut down) = (Bulk::default(), Bulk::default());
        return both(patience, |cx| {
            let (mut sent, mut received) = (0, 0);
            let (is_up, is_down) = (
                up.poll(cx, client, origin, |bytes| sent += bytes),
                down.poll(cx, origin, client, |bytes| received += bytes),
            );
            count(traffic, sent, received);
            Ok([
                Moment::new(is_up, sent, up.holds())?,
                Moment::new(is_down, received, down.holds())?,
            ])
        })
        .await;
    }
    let (mut up, mut down) = (Direction::default(), Direction::default());
    both(patience, |cx| {
        let (mut sent, mut received) = (0, 0);
        let (is_up, is_down) = (
            up.poll(cx, client, origin, |bytes| sent += bytes),
            down.poll(cx, origin, client, |bytes| received += bytes),
        );
        count(traffic, sent, received);
        Ok([
            Moment::new(is_up, sent, up.holds())?,
            Moment::new(is_down, received, down.holds())?,
        ])
    })
    .await
}

fn count(traffic: &Traffic, up: usize, down: usize) {
    if up > 0 {
        traffic.add_up(up);
    }
    if down > 0 {
        traffic.add_down(down);
    }
}

/// The TCP socket that `stream` is, if it is one.
fn socket<I: 'static>(stream: &mut I) -> Option<&mut TcpStream> {
    let stream = stream as &mut dyn Any;
    match stream.is::<Stream>() {
        true => stream.downcast_mut().and_then(Stream::socket),
        false => stream.downcast_mut(),
    }
}

/// One direction between two sockets: copied while messages are small, spliced while they are not.
#[derive(Default)]
struct Bulk {
    copy: Direction,
    splice: Option<Splice>,
}

impl Bulk {
    fn holds(&self) -> bool {
        self.copy.holds() || self.splice.as_ref().is_some_and(Splice::holds)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        mut moved: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(splice) = &mut self.splice {
                let outcome = splice.poll(cx, from, to, &mut moved);
                if outcome.is_pending() && splice.pause().is_some_and(|burst| burst < SMALL) {
                    self.splice = None;
                }
                return outcome;
            }
            match ready!(self.copy.poll_step(cx, from, to, SMALL, &mut moved))? {
                Step::Over => return Poll::Ready(Ok(())),
                Step::Full => self.splice = Some(Splice::default()),
            }
        }
    }
}

/// What became of one direction in one poll.
struct Moment {
    is_over: bool,
    moved: bool,
    /// Bytes wait for the writer.
    holds: bool,
}

impl Moment {
    fn new(outcome: Poll<io::Result<()>>, moved: usize, holds: bool) -> io::Result<Self> {
        let is_over = match outcome {
            Poll::Ready(outcome) => outcome.map(|()| true)?,
            Poll::Pending => false,
        };
        Ok(Self {
            is_over,
            moved: moved > 0,
            holds: holds && !is_over,
        })
    }
}

/// Polls both directions until both are over.
async fn both(
    patience: Patience,
    mut poll: impl FnMut(&mut Context<'_>) -> io::Result<[Moment; 2]>,
) -> io::Result<()> {
    let mut moved = Instant::now();
    // Since when each direction waits for its writer.
    let mut stuck: [Option<Instant>; 2] = [None; 2];
    let mut timer = Box::pin(sleep(patience.idle.min(patience.stall)));
    poll_fn(|cx| {
        let moments = poll(cx)?;
        if moments.iter().all(|moment| moment.is_over) {
            return Poll::Ready(Ok(()));
        }
        if moments.iter().any(|moment| moment.moved) {
            moved = Instant::now();
        }
        for (since, moment) in stuck.iter_mut().zip(&moments) {
            *since = match (moment.holds, moment.moved, *since) {
                (false, ..) => None,
                (true, false, Some(since)) => Some(since),
                (true, ..) => Some(Instant::now()),
            };
        }
        let stalled = stuck.iter().flatten().map(|since| *since + patience.stall);
        let due = stalled.fold(moved + patience.idle, Instant::min);
        ready!(expired(timer.as_mut(), cx, due));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

/// The timer is only moved when it fires or must fire earlier, not with every byte.
fn expired(mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
    if due < timer.deadline() {
        timer.as_mut().reset(due);
    }
    loop {
        ready!(timer.as_mut().poll(cx));
        if due <= Instant::now() {
            return Poll::Ready(());
        }
        timer.as_mut().reset(due);
    }
}

#[derive(Default)]
struct Direction {
    buffer: Option<Vec<u8>>,
    start: usize,
    end: usize,
    eof: bool,
    unflushed: bool,
    closed: bool,
}

/// Where a direction stands.
enum Step {
    /// A read filled its buffer, and all of it has been written: more is on its way.
    Full,
    /// The reader ended, and the writer has been told.
    Over,
}

impl Direction {
    /// Whether bytes were read and not written.
    fn holds(&self) -> bool {
        self.start < self.end
    }

    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        mut wrote: impl FnMut(usize),
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if let Step::Over = ready!(self.poll_step(cx, reader, writer, BUFFER, &mut wrote))? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_step<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        size: usize,
        mut wrote: impl FnMut(usize),
    ) -> Poll<io::Result<Step>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if self.closed {
                return Poll::Ready(Ok(Step::Over));
            }
            if self.start < self.end {
                wrote(ready!(self.poll_drain(cx, writer))?);
                if self.start == self.end && self.end == size {
                    return Poll::Ready(Ok(Step::Full));
                }
            } else if self.eof {
                ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                self.closed = true;
            } else if let Poll::Ready(filled) = self.poll_fill(cx, reader, size) {
                filled?;
            } else {
                if self.unflushed {
                    ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
        }
    }

    fn poll_drain<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<usize>> {
        let buffer = self.buffer.as_deref().unwrap_or_default();
        let bytes = buffer.get(self.start..self.end).unwrap_or_default();
        let written = ready!(Pin::new(writer).poll_write(cx, bytes))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.start += written;
        self.unflushed = true;
        Poll::Ready(Ok(written))
    }

    fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        size: usize,
    ) -> Poll<io::Result<()>> {
        let mut buffer = self.buffer.take().unwrap_or_else(lend);
        let mut target = ReadBuf::new(buffer.get_mut(..size).unwrap_or_default());
        let outcome = Pin::new(reader).poll_read(cx, &mut target);
        (self.start, self.end) = (0, target.filled().len());
        if outcome.is_ready() && self.end > 0 {
            self.buffer = Some(buffer);
        } else {
            give_back(buffer);
        }
        ready!(outcome)?;
        self.eof = self.end == 0;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn half_closes_are_passed_on() {
        let (mut client, mut near) = duplex(64);
        let (mut far, mut origin) = duplex(64);
        let traffic = Traffic::default();
        let sides = async {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut question = Vec::new();
            origin.read_to_end(&mut question).await.unwrap();
            assert_eq!(question, b"question");
            let long = vec![7; 100];
            origin.write_all(&long).await.unwrap();
            origin.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, long);
        };
        let (result, ()) = tokio::join!(relay(&mut near, &mut far, PATIENCE, &traffic), sides);
        result.unwrap();
    }

    /// Silence is long; bytes that nobody takes are not, whatever the other direction does.
    #[tokio::test(start_paused = true)]
    async fn what_stands_still_ends() {
        // Whether the client sends what the origin does not read, and how long the relay then lasts.
        for (sends, expected) in [(false, PATIENCE.idle), (true, PATIENCE.stall)] {
            let (mut client, mut near) = duplex(64);
            let (mut far, mut origin) = duplex(64);
            let began = Instant::now();
            let sides = async {
                if !sends {
                    return std::future::pending().await;
                }
                client.write_all(&[7; 200]).await.unwrap();
                // The other direction goes on meanwhile.
                loop {
                    origin.write_all(b"x").await.unwrap();
                    client.read_u8().await.unwrap();
                    sleep(PATIENCE.stall / 4).await;
                }
            };
            let traffic = Traffic::default();
            let ended = tokio::select! {
                ended = relay(&mut near, &mut far, PATIENCE, &traffic) => ended,
                () = sides => unreachable!(),
            };
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
            let lasted = began.elapsed();
            assert!(
                (expected..expected * 2).contains(&lasted),
                "{sends} {lasted:?}"
            );
        }
    }

    /// A reader that takes a little at a time is slow, and not still.
    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_served() {
        let (mut client, mut near) = duplex(64);
        let (mut far, mut origin) = duplex(64);
        let traffic = Traffic::default();
        let sides = async {
            let sending = async {
                client.write_all(&[7; 500]).await.unwrap();
                client.shutdown().await.unwrap();
            };
            let reading = async {
                for _ in 0..500 {
                    sleep(PATIENCE.stall / 4).await;
                    origin.read_u8().await.unwrap();
                }
                origin.shutdown().await.unwrap();
            };
            tokio::join!(sending, reading);
        };
        let (ended, ()) = tokio::join!(relay(&mut near, &mut far, PATIENCE, &traffic), sides);
        ended.unwrap();
    }

    const PATIENCE: Patience = Patience {
        idle: Duration::from_secs(3600),
        stall: Duration::from_secs(120),
    };
}
