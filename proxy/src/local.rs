//! This machine's own addresses, and the sockets the proxy must never dial.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use policy_lang::LocalAddrs;

/// The machine's addresses as last read.
#[derive(Debug)]
pub(crate) struct Local {
    addrs: ArcSwap<LocalAddrs>,
    listeners: Mutex<Vec<SocketAddr>>,
}

impl Local {
    pub(crate) fn new(listeners: Vec<SocketAddr>) -> Self {
        let local = Self {
            addrs: ArcSwap::default(),
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

    /// Reads the interfaces again: networks come and go while a sandbox runs. True if something changed.
    pub(crate) fn refresh(&self) -> bool {
        let listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let fresh = LocalAddrs::new(interfaces()).with_listeners(listeners);
        if **self.addrs.load() == fresh {
            return false;
        }
        self.addrs.store(Arc::new(fresh));
        true
    }

    pub(crate) fn addrs(&self) -> Arc<LocalAddrs> {
        self.addrs.load_full()
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
