//! Addresses that mean something special, each with its source.

use crate::Net;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks blocked by Docker's documented default, as text for `blockCIDR`.
pub(crate) const DOCKER_BLOCKED: [&str; 8] = [
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// Networks blocked in every policy unless an exact rule or a longer (or equal) `allowCIDR` says otherwise.
pub(crate) const FLOOR: [&str; 6] = [
    // "This host on this network", RFC 1122 §3.2.1.3; on Linux it reaches loopback.
    "0.0.0.0/8",
    // Shared address space, RFC 6598: carrier NAT, and overlay networks such as Tailscale.
    "100.64.0.0/10",
    // Multicast, RFC 5771; limited broadcast, RFC 919; multicast, RFC 4291 §2.7.
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "ff00::/8",
];

/// Metadata services of clouds, which hand credentials to whoever asks from inside.
const METADATA: [IpAddr; 12] = [
    // AWS, Azure, Google, OpenStack, DigitalOcean, Oracle.
    v4(169, 254, 169, 254),
    // AWS: its resolver and its clock; ECS task credentials; EKS pod identity.
    v4(169, 254, 169, 253),
    v4(169, 254, 169, 123),
    v4(169, 254, 170, 2),
    v4(169, 254, 170, 23),
    // Alibaba; Oracle; the Azure wire server.
    v4(100, 100, 100, 200),
    v4(192, 0, 0, 192),
    v4(168, 63, 129, 16),
    // AWS and EKS over IPv6; Google; OpenStack.
    v6(0xfd00, 0x0ec2, 0, 0x254),
    v6(0xfd00, 0x0ec2, 0, 0x23),
    v6(0xfd20, 0x00ce, 0, 0x254),
    v6(0xfe80, 0, 0xa9fe, 0xa9fe),
];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// The first two groups and the last two; those between are zero.
const fn v6(first: u16, second: u16, seventh: u16, eighth: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, seventh, eighth))
}

pub(crate) fn is_metadata(addr: IpAddr) -> bool {
    METADATA.contains(&addr)
}

/// Every metadata address.
pub(crate) fn metadata() -> impl Iterator<Item = IpAddr> {
    METADATA.into_iter()
}

/// Loopback, and the unspecified addresses, which Linux connects to loopback.
pub(crate) fn is_loopback(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => v4.is_loopback() || v4.octets().first() == Some(&0),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified(),
    }
}

/// Whether a network has loopback addresses alone.
pub(crate) fn is_loopback_net(net: Net) -> bool {
    let ends = [net.as_ipnet().network(), net.as_ipnet().broadcast()];
    ends.into_iter().all(is_loopback)
}

/// Whether a network is one metadata address.
pub(crate) fn is_metadata_net(net: Net) -> bool {
    let [first, last] = [net.as_ipnet().network(), net.as_ipnet().broadcast()];
    first == last && is_metadata(first)
}

/// Parses a table of this module. An entry that is no network would be dropped: the tests count them.
pub(crate) fn networks(table: &[&'static str]) -> impl Iterator<Item = (&'static str, IpNet)> {
    table
        .iter()
        .filter_map(|text| text.parse().ok().map(|net| (*text, net)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_a_network() {
        assert_eq!(networks(&DOCKER_BLOCKED).count(), DOCKER_BLOCKED.len());
        assert_eq!(networks(&FLOOR).count(), FLOOR.len());
    }

    #[test]
    fn loopback_and_metadata_are_known_by_address_and_by_network() {
        let rows = [
            ("127.0.0.1", true, false),
            ("127.255.255.255", true, false),
            ("0.0.0.0", true, false),
            ("0.1.2.3", true, false),
            ("::1", true, false),
            ("::", true, false),
            ("::2", false, false),
            ("128.0.0.1", false, false),
            ("169.254.169.254", false, true),
            ("169.254.169.255", false, false),
            ("100.100.100.200", false, true),
            ("fd00:ec2::254", false, true),
            ("fd20:ce::254", false, true),
            ("fe80::a9fe:a9fe", false, true),
        ];
        for (text, loopback, metadata) in rows {
            let addr: IpAddr = text.parse().unwrap();
            assert_eq!(
                (is_loopback(addr), is_metadata(addr)),
                (loopback, metadata),
                "{text}"
            );
            let net = Net::from(addr);
            let found = (is_loopback_net(net), is_metadata_net(net));
            assert_eq!(found, (loopback, metadata), "{net}");
        }
        let rows = [
            ("127.0.0.0/8", true, false),
            ("126.0.0.0/7", false, false),
            ("127.0.0.0/7", false, false),
            ("169.254.169.254/31", false, false),
        ];
        for (text, loopback, metadata) in rows {
            let net = Net::parse(text).unwrap();
            let found = (is_loopback_net(net), is_metadata_net(net));
            assert_eq!(found, (loopback, metadata), "{net}");
        }
        assert_eq!(metadata().count(), METADATA.len());
    }
}
