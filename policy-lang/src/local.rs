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
                && (ip == addr || (ip.is_unspecified() || addr.is_unspecified()) && mine())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_listeners_are_known_by_every_address() {
        let local = LocalAddrs::new(["192.0.2.10", "2001:db8::10"].map(|a| a.parse().unwrap()))
            .with_listeners(
                ["127.0.0.1:3128", "0.0.0.0:8080", "[::]:9090"].map(|a| a.parse().unwrap()),
            );
        let rows = [
            ("127.0.0.1", 3128, true),
            ("127.0.0.1", 3129, false),
            ("127.0.0.2", 3128, false),
            ("192.0.2.10", 3128, false),
            // Linux connects the unspecified address to loopback.
            ("0.0.0.0", 3128, true),
            ("::", 3128, true),
            ("127.0.0.9", 8080, true),
            ("192.0.2.10", 8080, true),
            ("192.0.2.11", 8080, false),
            ("2001:db8::10", 9090, true),
            ("192.0.2.10", 9090, true),
            ("203.0.113.1", 9090, false),
        ];
        for (addr, port, expected) in rows {
            let found = local.listener_at(addr.parse().unwrap(), Port::new(port).unwrap());
            assert_eq!(found.is_some(), expected, "{addr} {port}");
        }
    }

    #[test]
    fn a_rule_that_names_the_proxy_does_not_open_it() {
        use crate::{Reason, Target, config::Document};
        let text = r#"{"policy": "allow", "network": {"allowedDomains": ["localhost:3128", "127.0.0.1:3128"]}}"#;
        let (policy, _) = Document::parse(text, "test").unwrap().0.compile().unwrap();
        let listener: SocketAddr = "127.0.0.1:3128".parse().unwrap();
        let local = LocalAddrs::default().with_listeners([listener]);
        for (asked, addr) in [
            ("localhost:3128", "127.0.0.1"),
            ("127.0.0.1:3128", "127.0.0.1"),
            ("[::ffff:127.0.0.1]:3128", "::ffff:127.0.0.1"),
            ("x.test:3128", "64:ff9b::127.0.0.1"),
            ("x.test:3128", "0.0.0.0"),
        ] {
            let target = Target::parse(asked, None).unwrap();
            let host = policy.admit_host(&target);
            assert!(host.action.is_allow(), "{asked}");
            let verdict = policy.admit_addr(&target, host, addr.parse().unwrap(), &local);
            assert_eq!(
                verdict.reason,
                Reason::OwnListener(listener),
                "{asked} {addr}"
            );
        }
    }
}
