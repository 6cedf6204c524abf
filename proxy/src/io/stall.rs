//! How long the other side may take to read what is written to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline on writes that do not move. COST: a timer only for connections whose writes came to wait, set at most
/// once for each time it fires.
#[derive(Debug)]
pub(crate) struct Stall {
    allowance: Duration,
    /// Since when a write waits, if one does.
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(crate) fn new(allowance: Duration) -> Self {
        Self {
            allowance,
            since: None,
            sleep: None,
        }
    }

    /// What a write came to, or an error if writes have been waiting for too long.
    pub(crate) fn check<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.since = None;
            return write;
        }
        let due = *self.since.get_or_insert_with(Instant::now) + self.allowance;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            sleep.as_mut().reset(due);
        }
    }
}
