//! Bytes that were read and not yet used.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

/// One read while messages are small.
const SMALL: usize = 8 * 1024;

/// One allocation once they are not. COST: what a message holds while its receiver is slow.
const LARGE: usize = 64 * 1024;

/// COST: no buffer while there is nothing in it. Small messages are read onto the stack and copied into an allocation of
/// their size; large ones are read to where they stay.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    pub(crate) bytes: BytesMut,
    large: bool,
}

impl ReadAhead {
    /// Reads more. Ready with zero at the end.
    pub(crate) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> Poll<io::Result<usize>> {
        let count = match self.large {
            true => self.poll_large(cx, from),
            false => self.poll_small(cx, from),
        };
        match count {
            Poll::Ready(Ok(count)) => self.large = count >= SMALL,
            Poll::Ready(Err(_)) | Poll::Pending => self.large = false,
        }
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        count
    }

    fn poll_small<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> Poll<io::Result<usize>> {
        let mut scratch = [MaybeUninit::<u8>::uninit(); SMALL];
        let mut scratch = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(from).poll_read(cx, &mut scratch))?;
        self.bytes.extend_from_slice(scratch.filled());
        Poll::Ready(Ok(scratch.filled().len()))
    }

    fn poll_large<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() - self.bytes.len() < SMALL {
            self.bytes.reserve(LARGE);
        }
        poll_read_buf(Pin::new(from), cx, &mut self.bytes)
    }
}
