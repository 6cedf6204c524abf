//! Whether the requests of a connection are being answered, and how many are of all connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Load {
    in_flight: AtomicU32,
    begun: AtomicU32,
    all: Arc<Total>,
}

/// The requests of all connections under one policy.
#[derive(Debug, Default)]
pub(crate) struct Total(AtomicUsize);

impl Total {
    /// How many are being answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Load {
    /// The requests of a connection, which count among `all`.
    pub(crate) fn among(all: Arc<Total>) -> Self {
        Self {
            all,
            ..Self::default()
        }
    }

    /// One more, until the returned value is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.all.0.fetch_add(1, Ordering::Relaxed);
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
pub(crate) struct Busy(Arc<Load>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.all.0.fetch_sub(1, Ordering::Relaxed);
    }
}
