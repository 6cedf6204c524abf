//! This machine's own addresses, given as data.

use crate::Port;
use std::net::{IpAddr, SocketAddr};

/// The addresses of the proxy's machine and the sockets the proxy itself listens on.
///
/// Loopback need not be listed. Services bound to `0.0.0.0` answer on every interface address, so a guest
/// that reached one would be on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalAddrs {
    interfaces: Vec<IpAddr>,
    listeners: Vec<SocketAddr>,
}

impl LocalAddrs {
    /// The addresses of every interface.
    pub fn new(interfaces: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut interfaces: Vec<_> = interfaces.into_iter().map(|a| a.to_canonical()).collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        Self {
            interfaces,
            listeners: Vec::new(),
        }
    }

    /// Adds sockets of the proxy, which it must never dial. One bound to the unspecified address stands for
    /// all of this machine's addresses.
    #[must_use]
    pub fn with_listeners(mut self, listeners: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.listeners.extend(listeners);
        self
    }

    /// Whether an interface has this address.
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.interfaces.binary_search(&addr.to_canonical()).is_ok()
    }

    /// The proxy's own socket that a connection to `addr` and `port` would reach.
    pub(crate) fn listener_at(&self, addr: IpAddr, port: Port) -> Option<SocketAddr> {
        let mine = || crate::special::is_loopback(addr) || self.contains(addr);
        self.listeners.iter().copied().find(|listener| {
            let ip = listener.ip().to_canonical();
            listener.port() == port.get()
                && (ip == addr || (ip.is_unspecified() || addr_is_unspecified(addr)) && mine())
        })
    }
}

fn addr_is_unspecified(addr: IpAddr) -> bool {
    addr.is_unspecified()
}
