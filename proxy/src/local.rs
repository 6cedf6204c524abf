//! This machine's own addresses, and the sockets the proxy must never dial.

mod changes;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    known: Mutex<Known>,
}

/// What the addresses that must not be dialled are made of.
#[derive(Debug)]
struct Known {
    interfaces: Vec<IpAddr>,
    listeners: Vec<SocketAddr>,
}

impl Known {
    fn addrs(&self) -> LocalAddrs {
        LocalAddrs::new(self.interfaces.iter().copied())
            .with_listeners(self.listeners.iter().copied())
    }
}

impl Local {
    /// Fails where the system does not tell its addresses: nothing could be judged then.
    pub(crate) fn new(listeners: Vec<SocketAddr>) -> io::Result<Self> {
        let interfaces = interfaces()?;
        let known = Known {
            interfaces,
            listeners,
        };
        Ok(Self {
            addrs: ArcSwap::from_pointee(known.addrs()),
            reading: AtomicU64::new(0),
            known: Mutex::new(known),
        })
    }

    /// Adds a socket that connections must never go to.
    pub(crate) fn listens(&self, listener: SocketAddr) {
        let mut known = self.known();
        known.listeners.push(listener);
        self.store(&known);
    }

    /// Reads the interfaces again whenever an address came or left, and calls `changed` if they are others: networks come
    /// and go while a sandbox runs.
    pub(crate) async fn follow(&self, changed: impl Fn()) {
        let changes = Changes::new();
        loop {
            let read = self.refresh(interfaces);
            if let Ok(true) = read {
                changed();
            }
            sleep(PAUSE).await;
            if read.is_ok() {
                let _ = timeout(POLL, changes.next()).await;
            }
        }
    }

    /// Reads the interfaces now. True if something changed.
    ///
    /// A reading takes a descriptor, and there may be none left. What was read before holds then: without it, a guest
    /// that takes all descriptors would make this machine's addresses anybody's.
    fn refresh(&self, read: impl FnOnce() -> io::Result<Vec<IpAddr>>) -> io::Result<bool> {
        // Locked until it is stored: else what was read before a listener came could replace what has it.
        let mut known = self.known();
        known.interfaces = read()?;
        Ok(self.store(&known))
    }

    fn store(&self, known: &Known) -> bool {
        let fresh = known.addrs();
        if **self.addrs.load() == fresh {
            return false;
        }
        self.addrs.store(Arc::new(fresh));
        self.reading.fetch_add(1, Ordering::Release);
        true
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
pub fn local_addrs() -> io::Result<LocalAddrs> {
    interfaces().map(LocalAddrs::new)
}

fn interfaces() -> io::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(interfaces.iter().map(if_addrs::Interface::ip).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_reading_changes_nothing() {
        let local = Local::new(Vec::new()).unwrap();
        let address = IpAddr::from([203, 0, 113, 5]);
        assert!(local.refresh(|| Ok(vec![address])).unwrap());
        let reading = local.reading();
        let failed = local.refresh(|| Err(rustix::io::Errno::MFILE.into()));
        assert_eq!(
            failed.unwrap_err().raw_os_error(),
            Some(rustix::io::Errno::MFILE.raw_os_error())
        );
        local.listens(SocketAddr::from(([127, 0, 0, 1], 9)));
        assert!(local.addrs().contains(address));
        assert_eq!(local.reading(), reading + 1);
    }

    #[test]
    fn a_listener_stays_whoever_else_reads_the_interfaces() {
        let local = Local::new(Vec::new()).unwrap();
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
