//! Networks in CIDR notation.

use crate::quote::Quoted;
use ipnet::{IpNet, Ipv4Net};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

/// A network with its host bits cleared; an IPv4-mapped network is the IPv4 network itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Net(IpNet);

impl Net {
    /// Reads `10.0.0.0/8`, `fc00::/7` or one address (then the prefix is its full length).
    ///
    /// Host bits are cleared: Docker's own page writes `127.0.0.1/8`.
    pub fn parse(text: &str) -> Result<Self, NetError> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(addr) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self::from(addr));
        }
        // Not `IpNet::from_str`, which takes `010.0.0.0/08`.
        text.split_once('/')
            .and_then(|(addr, bits)| Some((addr.parse().ok()?, prefix_bits(bits)?)))
            .and_then(|(addr, bits)| IpNet::new(addr, bits).ok())
            .map(Self::from)
            .ok_or_else(|| NetError::NotNet { text: text.into() })
    }

    /// Whether `addr` lies in the network. Families never mix: unmap and unpack first.
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.0.contains(&addr)
    }

    /// Whether some address lies in both.
    pub fn overlaps(&self, other: Self) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }

    /// Bits of the prefix, 0 to 32 or 0 to 128.
    pub fn prefix_len(&self) -> u8 {
        self.0.prefix_len()
    }

    /// The network as the `ipnet` crate's type.
    pub fn as_ipnet(&self) -> IpNet {
        self.0
    }
}

impl From<IpAddr> for Net {
    fn from(addr: IpAddr) -> Self {
        Self(IpNet::from(addr.to_canonical()))
    }
}

impl From<IpNet> for Net {
    fn from(net: IpNet) -> Self {
        let net = net.trunc();
        let IpNet::V6(v6) = net else { return Self(net) };
        let mapped = v6.addr().to_ipv4_mapped();
        let bits = v6.prefix_len().checked_sub(96);
        match (mapped, bits) {
            (Some(v4), Some(bits)) => Self(mapped_net(v4, bits).map_or(net, IpNet::V4)),
            _ => Self(net),
        }
    }
}

/// Plain decimal digits without a leading zero.
fn prefix_bits(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn mapped_net(addr: Ipv4Addr, bits: u8) -> Option<Ipv4Net> {
    Ipv4Net::new(addr, bits).ok()
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// Neither an address nor an address with a prefix length.
    #[error("{} is not a network in CIDR notation", Quoted(.text))]
    NotNet {
        /// The text found.
        text: Box<str>,
    },
}

impl NetError {
    /// What to write instead.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NotNet { .. } => {
                "write an address and a prefix length, such as `10.0.0.0/8` or `fc00::/7`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_one_spelling() {
        let rows = [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("127.0.0.1/8", Some("127.0.0.0/8")),
            ("1.2.3.4", Some("1.2.3.4/32")),
            ("::1", Some("::1/128")),
            ("[::1]", Some("::1/128")),
            ("FC00::/7", Some("fc00::/7")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("::ffff:0:0/96", Some("0.0.0.0/0")),
            ("::/0", Some("::/0")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/08", None),
            ("10.0.0.0/-1", None),
            ("10.0.0/8", None),
            ("10.0.0.0/", None),
            ("010.0.0.0/8", None),
            ("fe80::%eth0/10", None),
            ("example.com", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let net = Net::parse(text).ok();
            let length = expected.and_then(|net| net.split_once('/')?.1.parse().ok());
            assert_eq!(net.as_ref().map(Net::prefix_len), length, "{text:?}");
            let net = net.map(|net| net.to_string());
            assert_eq!(net.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn networks_hold_addresses_and_overlap() {
        let net = |text| Net::parse(text).unwrap();
        let rows = [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("fc00::/7", "fdff::1", true),
            ("::/0", "1.2.3.4", false),
        ];
        for (text, addr, expected) in rows {
            assert_eq!(
                net(text).contains(addr.parse().unwrap()),
                expected,
                "{text} {addr}"
            );
        }
        let rows = [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/16", "10.1.0.0/16", false),
            ("0.0.0.0/0", "::/0", false),
        ];
        for (left, right, expected) in rows {
            assert_eq!(net(left).overlaps(net(right)), expected, "{left} {right}");
            assert_eq!(net(right).overlaps(net(left)), expected, "{right} {left}");
        }
        let error = Net::parse("10.0.0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`10.0.0` is not a network in CIDR notation"
        );
        assert!(
            error
                .help()
                .starts_with("write an address and a prefix length")
        );
    }
}
