//! What small frames cost.
//!
//! Yamux bounds the bytes that wait for a slow reader, and keeps each frame of them in an allocation
//! of its own: some 80 bytes around a payload that may be one. A peer that fills every window with
//! one-byte frames would make 128 MiB of payload into 10 GiB of memory. So the small frames that wait
//! are counted, and a peer that has far too many of them is cut off.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Below this many bytes of payload a frame counts as small: above, its overhead does not matter.
const SMALL: usize = 256;

/// Most small frames that may wait: 25 MiB of overhead, and hundreds for every stream.
pub(super) const MOST_SMALL: usize = 1 << 18;

/// Length of a yamux header: version, type, flags (2), stream (4), length (4).
const HEADER: usize = 12;

/// The only frame type with a body, and the flag that opens a stream.
const DATA: u8 = 0;
const SYN: u16 = 1;

/// The small frames of one connection that wait for their readers.
///
/// Counted by stream, because a stream that is dropped takes its unread frames with it. Frames for a
/// stream that is not open are not counted: yamux throws them away at once.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    of_stream: HashMap<u32, usize>,
    in_all: usize,
}

impl Tally {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A data frame was read from the port.
    fn arrived(&self, stream: u32, opens: bool, len: usize) -> io::Result<()> {
        if len == 0 || (len >= SMALL && !opens) {
            return Ok(());
        }
        let mut waiting = self.waiting();
        if opens {
            waiting.of_stream.entry(stream).or_default();
        }
        if let Some(count) = waiting.of_stream.get_mut(&stream)
            && len < SMALL
        {
            *count += 1;
            waiting.in_all += 1;
        }
        if waiting.in_all > MOST_SMALL {
            let text = "too many small frames wait for their readers";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(())
    }

    fn taken(&self, stream: u32, len: usize) {
        if (1..SMALL).contains(&len) {
            let mut waiting = self.waiting();
            if let Some(count) = waiting
                .of_stream
                .get_mut(&stream)
                .filter(|count| **count > 0)
            {
                *count -= 1;
                waiting.in_all -= 1;
            }
        }
    }

    fn opened(&self, stream: u32) {
        self.waiting().of_stream.entry(stream).or_default();
    }

    fn closed(&self, stream: u32) {
        let mut waiting = self.waiting();
        let left = waiting.of_stream.remove(&stream).unwrap_or(0);
        waiting.in_all -= left;
    }
}

/// A yamux stream whose frames are counted.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) stream: yamux::Stream,
    tally: Arc<Tally>,
}

impl Counted {
    pub(super) fn new(stream: yamux::Stream, tally: &Arc<Tally>) -> Self {
        tally.opened(stream.id().val());
        Self {
            stream,
            tally: Arc::clone(tally),
        }
    }

    /// A frame of this many bytes was taken by the reader.
    pub(super) fn taken(&self, len: usize) {
        self.tally.taken(self.stream.id().val(), len);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.closed(self.stream.id().val());
    }
}

/// A port whose incoming frames are counted on their way to yamux.
#[derive(Debug)]
pub(super) struct Watched<S> {
    port: S,
    tally: Arc<Tally>,
    header: Vec<u8>,
    body_left: usize,
}

impl<S> Watched<S> {
    pub(super) fn new(port: S, tally: Arc<Tally>) -> Self {
        Self {
            port,
            tally,
            header: Vec::with_capacity(HEADER),
            body_left: 0,
        }
    }

    /// Follows the frames through these bytes. What is no yamux is for yamux to refuse.
    fn watch(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let wanted = match self.body_left {
                0 => HEADER - self.header.len(),
                left => left,
            };
            let (part, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.body_left > 0 {
                self.body_left -= part.len();
                continue;
            }
            self.header.extend(part);
            if let Some(&[_, kind, f, g, s, t, u, v, a, b, c, d]) = self.header.first_chunk() {
                self.header.clear();
                if kind == DATA {
                    self.body_left = u32::from_be_bytes([a, b, c, d]) as usize;
                    let opens = u16::from_be_bytes([f, g]) & SYN != 0;
                    let stream = u32::from_be_bytes([s, t, u, v]);
                    self.tally.arrived(stream, opens, self.body_left)?;
                }
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.port).poll_read(cx, buf))?;
        Poll::Ready(self.watch(buf.filled().get(before..).unwrap_or_default()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.port).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the port would carry, and what then waits.
    #[test]
    fn frames_are_counted_until_they_are_taken_or_their_stream_is_gone() {
        let tally = Tally::default();
        let in_all = || tally.waiting().in_all;
        tally.arrived(1, true, 5).unwrap();
        tally.arrived(1, false, 1).unwrap();
        tally.arrived(1, false, SMALL).unwrap(); // large
        tally.arrived(1, false, 0).unwrap(); // kept by nobody
        tally.arrived(9, false, 1).unwrap(); // for a stream that is gone
        tally.opened(1);
        assert_eq!(in_all(), 2);
        tally.taken(1, SMALL);
        tally.taken(1, 5);
        assert_eq!(in_all(), 1);
        tally.opened(2);
        tally.arrived(2, false, 1).unwrap();
        tally.closed(1);
        assert_eq!(in_all(), 1, "one stream takes its own frames with it");
        tally.closed(2);
        tally.arrived(2, false, 1).unwrap();
        assert_eq!((in_all(), tally.waiting().of_stream.len()), (0, 0));
    }

    #[test]
    fn streams_that_end_unread_never_add_up() {
        let tally = Tally::default();
        for _ in 0..3 {
            tally.arrived(1, true, 1).unwrap();
            for _ in 1..MOST_SMALL {
                tally.arrived(1, false, 1).unwrap();
            }
            tally.closed(1);
        }
        tally.arrived(1, true, 1).unwrap();
        for _ in 1..MOST_SMALL {
            tally.arrived(1, false, 1).unwrap();
        }
        tally.arrived(1, false, 1).unwrap_err();
    }
}
