//! Moving a program's input and output.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, watch};
use wire::exec::{STDIN_WINDOW, ToHost};

use crate::device::Device;

/// One read of output, and so at most one frame.
const CHUNK: usize = 32 * 1024;

/// Sends a program's output as frames until it is closed, or, once the program has ended, until it is
/// empty: what children left behind say later is nobody's.
pub(super) async fn output(
    mut from: Device,
    frame: fn(Bytes) -> ToHost,
    to: mpsc::Sender<ToHost>,
    mut ended: watch::Receiver<bool>,
) -> io::Result<()> {
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        tokio::select! {
            biased;
            read = from.read_buf(&mut chunk) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            _ = ended.wait_for(|&ended| ended) => {
                chunk.resize(CHUNK, 0);
                match from.read_now(&mut chunk)? {
                    None | Some(0) => return Ok(()),
                    Some(count) => chunk.truncate(count),
                }
            }
        }
        if to.send(frame(chunk.freeze())).await.is_err() {
            return Ok(());
        }
    }
}

/// Input that has arrived and not been taken.
#[derive(Debug, Default)]
pub(super) struct Input {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Bytes>,
    len: usize,
    ended: bool,
}

/// The host sent more than its window, or something behind the end.
#[derive(Debug, thiserror::Error)]
#[error("the host sent more input than it may")]
pub(super) struct TooMuchInput;

impl Input {
    /// Takes a frame of input.
    pub(super) fn push(&self, chunk: Bytes) -> Result<(), TooMuchInput> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.len += chunk.len();
        if queue.ended || queue.len > STDIN_WINDOW {
            return Err(TooMuchInput);
        }
        queue.chunks.push_back(chunk);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes the end of input.
    pub(super) fn end(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.ended = true;
        self.changed.notify_one();
    }

    async fn next(&self) -> Option<Bytes> {
        loop {
            {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(chunk) = queue.chunks.pop_front() {
                    return Some(chunk);
                }
                if queue.ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    fn taken(&self, count: usize) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.len = queue.len.saturating_sub(count);
    }

    /// Writes the input to the program and reports how much it took, until the input ends. A program
    /// that closes its input takes the rest without reading it, so that the host does not wait.
    pub(super) async fn pump(&self, mut to: Option<Device>, taken: mpsc::Sender<ToHost>) {
        while let Some(chunk) = self.next().await {
            if let Some(device) = &mut to
                && device.write_all(&chunk).await.is_err()
            {
                to = None;
            }
            self.taken(chunk.len());
            let count = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            if taken.send(ToHost::StdinTaken(count)).await.is_err() {
                return;
            }
        }
    }
}
