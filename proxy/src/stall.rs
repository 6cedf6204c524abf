//! What ends one HTTP/2 stream and leaves the others be: a client that does not take what it asked for, and a policy
//! that takes back what the stream does.
//!
//! A stream whose window stays shut keeps its answer, and the connection to its origin, while pings are answered. hyper
//! does not poll the answer's body meanwhile, so the body's own deadline cannot fire; this one belongs to the stream's
//! task.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::gate::{Gate, Permit};

tokio::task_local! {
    static CURRENT: Arc<Stall>;
}

/// Whether the client has something to take, and since when.
#[derive(Debug)]
pub(crate) struct Stall {
    start: Instant,
    /// Milliseconds after `start`, plus one; zero while the client waits for us.
    offered: AtomicU64,
    expired: AtomicBool,
    /// The permission behind what the stream does.
    permit: OnceLock<Permit>,
    revoked: AtomicBool,
}

impl Stall {
    /// That of the task that runs, if it has one.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// The client is to take something.
    pub(crate) fn offer(&self) {
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.offered.store(since + 1, Ordering::Relaxed);
    }

    /// The client has taken all there was.
    pub(crate) fn wait(&self) {
        self.offered.store(0, Ordering::Relaxed);
    }

    /// Whether the client took too long.
    pub(crate) fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    /// The stream acts on `permit`.
    pub(crate) fn acts_on(&self, permit: &Permit) {
        let _ = self.permit.set(permit.clone());
    }

    /// Whether `gate` would refuse now what the stream does. It is then told so.
    pub(crate) fn is_refused(&self, gate: &Gate) -> bool {
        let permit = self.permit.get();
        let refused = permit.is_some_and(|permit| !gate.stands(permit, false));
        if refused {
            self.revoked.store(true, Ordering::Relaxed);
        }
        refused
    }

    /// Whether the policy has taken back what the stream does.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Relaxed)
    }

    fn due(&self, allowance: Duration) -> Option<Instant> {
        let since = self.offered.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.start + Duration::from_millis(since) + allowance)
    }
}

/// Runs `stream` to its end, or until the client takes nothing of it for `allowance`, or until `revoked` returns.
///
/// COST: a timer only for streams that come to wait for their client.
pub(crate) async fn watched(
    stream: impl Future<Output = ()>,
    allowance: Duration,
    revoked: impl AsyncFnOnce(&Stall),
) {
    let stall = Arc::new(Stall {
        start: Instant::now(),
        offered: AtomicU64::new(0),
        expired: AtomicBool::new(false),
        permit: OnceLock::new(),
        revoked: AtomicBool::new(false),
    });
    let mut revoked = pin!(revoked(&stall));
    let mut stream = pin!(CURRENT.scope(stall.clone(), stream));
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() || revoked.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while let Some(due) = stall.due(allowance) {
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
            if due <= Instant::now() {
                stall.expired.store(true, Ordering::Relaxed);
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn only_what_is_offered_and_not_taken_ends_a_stream() {
        // Seconds after which the stream is polled again, whether it then offers, and whether it comes to its end.
        let rows: &[(&[(u64, bool)], bool)] = &[
            (&[(9, true), (9, true), (9, true)], true),
            (&[(1, false), (100, false)], true),
            (&[(1, true), (100, false)], false),
            (&[(1, false), (100, true), (11, false)], false),
        ];
        for (steps, expected) in rows {
            let mut ended = false;
            let stream = async {
                let stall = Stall::current().unwrap();
                for (pause, offers) in *steps {
                    tokio::time::sleep(Duration::from_secs(*pause)).await;
                    match offers {
                        true => stall.offer(),
                        false => stall.wait(),
                    }
                }
                ended = true;
            };
            watched(stream, ALLOWANCE, async |_: &Stall| {
                std::future::pending().await
            })
            .await;
            assert_eq!(ended, *expected, "{steps:?}");
        }
        assert!(Stall::current().is_none());
    }
}
