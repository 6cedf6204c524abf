//! This machine's own addresses, and the sockets the proxy must never dial.

mod changes;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use policy_lang::LocalAddrs;
use tokio::time::{sleep, timeout};

use changes::Changes;

/// How often the interfaces are read where the kernel does not tell of changes.
const POLL: Duration = Duration::from_secs(5);

/// COST: the least time between two readings, where containers come and go by the hundred: 20 readings a second at most.
const PAUSE: Duration = Duration::from_millis(50);

/// The machine's addresses as last read.
#[derive(Debug)]
pub(crate) struct Local {
    addrs: ArcSwap<LocalAddrs>,
    /// How often they have been others.
    reading: AtomicU64,
    listeners: Mutex<Vec<SocketAddr>>,
}

impl Local {
    pub(crate) fn new(listeners: Vec<SocketAddr>) -> Self {
        let local = Self {
            addrs: ArcSwap::default(),
            reading: AtomicU64::new(0),
            listeners: Mutex::new(listeners),
        };
        local.refresh();
        local
    }

    /// Adds a socket that connections must never go to.
    pub(crate) fn listens(&self, listener: SocketAddr) {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(listener);
        self.refresh();
    }

    /// Reads the interfaces again whenever an address came or left, and calls `changed` if they are others: networks come
    /// and go while a sandbox runs.
    pub(crate) async fn follow(&self, changed: impl Fn()) {
        let changes = Changes::new();
        loop {
            if self.refresh() {
                changed();
            }
            sleep(PAUSE).await;
            let _ = timeout(POLL, changes.next()).await;
        }
    }

    /// Reads the interfaces now. True if something changed.
    fn refresh(&self) -> bool {
        // Locked until it is stored: else what was read before a listener came could replace what has it.
        let listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let fresh = LocalAddrs::new(interfaces()).with_listeners(listeners.iter().copied());
        if **self.addrs.load() == fresh {
            return false;
        }
        self.addrs.store(Arc::new(fresh));
        self.reading.fetch_add(1, Ordering::Release);
        true
    }

    pub(crate) fn addrs(&self) -> Arc<LocalAddrs> {
        self.addrs.load_full()
    }

    /// Which addresses these are.
    ///
    /// INVARIANT: who asks for this before [`Local::addrs`] never takes old addresses for newer ones.
    pub(crate) fn reading(&self) -> u64 {
        self.reading.load(Ordering::Acquire)
    }
}

/// This machine's addresses as they are now, for those who ask the policy without a proxy.
pub fn local_addrs() -> LocalAddrs {
    LocalAddrs::new(interfaces())
}

/// A machine that does not tell its addresses is treated as having loopback only, which the policy knows by itself.
fn interfaces() -> impl Iterator<Item = IpAddr> {
    if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_stays_whoever_else_reads_the_interfaces() {
        let local = Local::new(Vec::new());
        let add = |port: u16| {
            let listener = SocketAddr::from(([127, 0, 0, 1], port));
            local.listens(listener);
            let known = format!("{:?}", local.addrs());
            assert!(known.contains(&listener.to_string()), "{listener}: {known}");
        };
        std::thread::scope(|scope| {
            for first in [10_000, 20_000, 30_000, 40_000] {
                scope.spawn(move || (first..first + 500).for_each(add));
            }
        });
    }
}
