//! The bytes of a request, counted by whoever moves them, and put on the budgets that cover its target.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::budgets::meter::{Meter, Spent};

/// Bytes counted by whoever moves them.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    up: AtomicU64,
    down: AtomicU64,
    sent: AtomicBool,
    /// Only where a budget covers the target.
    metered: OnceLock<Box<Metered>>,
}

/// The budgets that bytes are put on.
#[derive(Debug, Default)]
struct Metered {
    meters: Mutex<Vec<Arc<Meter>>>,
    spent: AtomicBool,
    wake: Notify,
}

impl Traffic {
    /// Bytes are put on the account of `meter` from now on.
    pub(crate) fn meter(&self, meter: Arc<Meter>) {
        let metered = self.metered.get_or_init(Box::default);
        let mut meters = metered
            .meters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        meters.push(meter);
    }

    /// An error once more was used than a budget has.
    pub(crate) fn within(&self) -> Result<(), Spent> {
        let Some(metered) = self.metered.get() else {
            return Ok(());
        };
        if !metered.spent.load(Ordering::Acquire) {
            return Ok(());
        }
        let meters = metered
            .meters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        meters.iter().try_for_each(|meter| meter.check(now))
    }

    /// Waits until more was used than a budget has.
    pub(crate) async fn spent(&self) -> Spent {
        let Some(metered) = self.metered.get() else {
            return std::future::pending().await;
        };
        loop {
            let woken = metered.wake.notified();
            if let Err(spent) = self.within() {
                return spent;
            }
            woken.await;
        }
    }

    /// Puts the head of a request on the budgets, which is as good for carrying data away as a body. It is not among the
    /// bytes of [`Traffic::up`]. An error if that is more than there was left.
    pub(crate) fn add_head(&self, bytes: impl FnOnce() -> usize) -> Result<(), Spent> {
        if self.metered.get().is_some() {
            self.count(bytes(), 0);
        }
        self.within()
    }

    fn count(&self, up: usize, down: usize) {
        if let Some(metered) = self.metered.get() {
            let meters = metered
                .meters
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // All of them count, so not `all`.
            let spent = meters.iter().filter(|meter| !meter.add(up, down)).count() > 0;
            drop(meters);
            if spent {
                metered.spent.store(true, Ordering::Release);
                metered.wake.notify_waiters();
            }
        }
    }

    /// Bytes towards the origin so far.
    pub(crate) fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Bytes towards the client so far.
    pub(crate) fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// The request has been sent whole.
    pub(crate) fn sent(&self) {
        self.sent.store(true, Ordering::Release);
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    pub(crate) fn add_up(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
        self.count(bytes, 0);
    }

    pub(crate) fn add_down(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
        self.count(0, bytes);
    }
}
