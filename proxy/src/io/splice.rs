//! Bytes from one socket to the other without passing through this process.
//!
//! `splice(2)` moves pages between a socket and a pipe. Measured against copying through a buffer of 64 KiB, a relay
//! spends about a third of the processor time for each byte.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes a pipe is asked to hold: as many as an unprivileged user may have in one.
const CAPACITY: usize = 1024 * 1024;

/// Pipes kept for the next tunnel. COST: two descriptors each.
const KEPT: usize = 32;

static PIPES: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

/// An empty pipe, or one whose contents are on their way.
#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

fn lend() -> io::Result<Pipe> {
    if let Some(pipe) = PIPES.lock().unwrap_or_else(PoisonError::into_inner).pop() {
        return Ok(pipe);
    }
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
    // Refused when the user's share (64 MiB) is used up; less does, down to the default of 64 KiB.
    let _ = fcntl_setpipe_size(&writer, CAPACITY)
        .or_else(|_| fcntl_setpipe_size(&writer, CAPACITY / 4));
    Ok(Pipe { reader, writer })
}

fn give_back(pipe: Pipe) {
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    if pipes.len() < KEPT {
        pipes.push(pipe);
    }
}

/// One direction of a tunnel between two sockets. Holds a pipe only while bytes are on their way.
#[derive(Debug, Default)]
pub(crate) struct Splice {
    pipe: Option<Pipe>,
    held: usize,
    /// Bytes taken since the last pause.
    burst: usize,
    /// How many there were before it.
    last_burst: usize,
    eof: bool,
    closed: bool,
}

impl Splice {
    /// How many bytes came at once before the pause the direction is in now; none while bytes are on their way.
    pub(crate) fn pause(&self) -> Option<usize> {
        let pausing = self.held == 0 && self.burst == 0 && !self.eof;
        pausing.then_some(self.last_burst)
    }

    /// Whether bytes are on their way and not there.
    pub(crate) fn holds(&self) -> bool {
        self.held > 0
    }

    /// Moves what can be moved. Ready when `from` has ended and `to` has been told.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        mut moved: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        loop {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            if self.held > 0 {
                let count = ready!(self.poll_drain(cx, to))?;
                self.held -= count;
                moved(count);
            } else if self.eof {
                self.rest();
                shutdown(to, Shutdown::Write).or_else(unconnected)?;
                self.closed = true;
            } else {
                match self.poll_fill(cx, from) {
                    Poll::Ready(count) => {
                        self.held = count?;
                        self.burst += self.held;
                        self.eof = self.held == 0;
                    }
                    Poll::Pending => {
                        if self.burst > 0 {
                            self.last_burst = std::mem::take(&mut self.burst);
                        }
                        self.rest();
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            if self.pipe.is_none() {
                self.pipe = Some(lend()?);
            }
            let Some(pipe) = &self.pipe else { continue };
            match from.try_io(Interest::READABLE, || {
                transfer(from, &pipe.writer, CAPACITY)
            }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(to.poll_write_ready(cx))?;
            let Some(pipe) = &self.pipe else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            match to.try_io(Interest::WRITABLE, || transfer(&pipe.reader, to, self.held)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Gives the empty pipe back while there is nothing to do.
    fn rest(&mut self) {
        if self.held == 0
            && let Some(pipe) = self.pipe.take()
        {
            give_back(pipe);
        }
    }
}

impl Drop for Splice {
    fn drop(&mut self) {
        // A pipe with bytes in it must not reach another tunnel: it is closed with `self`.
        self.rest();
    }
}

fn transfer(
    from: impl rustix::fd::AsFd,
    to: impl rustix::fd::AsFd,
    length: usize,
) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, length, flags)?)
}

/// The other side may have reset the connection already.
fn unconnected(error: Errno) -> Result<(), Errno> {
    match error {
        Errno::NOTCONN => Ok(()),
        error => Err(error),
    }
}
