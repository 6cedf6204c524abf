//! Bytes both ways until both sides are done, half-closes passed on.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::record::Traffic;

/// One read. COST: lent from a pool of the thread only while bytes are on their way, so an idle tunnel holds none.
const BUFFER: usize = 64 * 1024;

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

/// Copies between `client` and `origin` until both directions have ended, or nothing moved for `idle`.
pub(crate) async fn relay<C, O>(
    client: &mut C,
    origin: &mut O,
    idle: Duration,
    traffic: &Traffic,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Direction::default();
    let mut down = Direction::default();
    let mut moved = Instant::now();
    let mut timer = Box::pin(sleep(idle));
    poll_fn(|cx| {
        let mut progress = false;
        let sent = up.poll(cx, client, origin, |bytes| {
            progress = true;
            traffic.add_up(bytes);
        })?;
        let received = down.poll(cx, origin, client, |bytes| {
            progress = true;
            traffic.add_down(bytes);
        })?;
        if sent.is_ready() && received.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if progress {
            moved = Instant::now();
        }
        ready!(expired(timer.as_mut(), cx, moved, idle));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

/// The timer is only moved when it fires, not with every byte.
fn expired(
    mut timer: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
    moved: Instant,
    idle: Duration,
) -> Poll<()> {
    loop {
        ready!(timer.as_mut().poll(cx));
        if moved.elapsed() >= idle {
            return Poll::Ready(());
        }
        timer.as_mut().reset(moved + idle);
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

impl Direction {
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
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            while self.start < self.end {
                let bytes = self
                    .buffer
                    .as_deref()
                    .and_then(|buffer| buffer.get(self.start..self.end))
                    .unwrap_or_default();
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, bytes))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += written;
                self.unflushed = true;
                wrote(written);
            }
            if self.eof {
                ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                self.closed = true;
                continue;
            }
            match self.fill(cx, reader) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
    ) -> Poll<io::Result<()>> {
        let mut buffer = self.buffer.take().unwrap_or_else(lend);
        let mut target = ReadBuf::new(&mut buffer);
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
        let (result, ()) = tokio::join!(
            relay(&mut near, &mut far, Duration::from_secs(5), &traffic),
            sides
        );
        result.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it() {
        let (_client, mut near) = duplex(64);
        let (mut far, _origin) = duplex(64);
        let result = relay(
            &mut near,
            &mut far,
            Duration::from_secs(3600),
            &Traffic::default(),
        )
        .await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
