//! IPv4 addresses inside IPv6 addresses.
//!
//! A translator or tunnel on the way delivers such traffic to the inner address, so the inner address is
//! judged as well as the outer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// More than any one address embeds: itself, and four readings of a local-use NAT64 address.
const MOST: usize = 5;

/// `addr` itself, canonical, then every IPv4 address embedded in it.
pub(crate) fn judged(addr: IpAddr) -> impl Iterator<Item = IpAddr> {
    let mut found = [None; MOST];
    let addr = addr.to_canonical();
    let inner = match addr {
        IpAddr::V4(_) => [None; MOST - 1],
        IpAddr::V6(v6) => embedded(v6),
    };
    for (slot, item) in found
        .iter_mut()
        .zip(std::iter::once(Some(addr)).chain(inner.map(|v4| v4.map(IpAddr::V4))))
    {
        *slot = item;
    }
    found.into_iter().flatten()
}

/// IPv6 addresses whose bits are those of `base` but for `inner` in each of the places where an address may be embedded.
/// Which of them embed it depends on the other bits.
pub(crate) fn embedding(base: Ipv6Addr, inner: Ipv4Addr) -> impl Iterator<Item = Ipv6Addr> {
    let base = base.to_bits();
    let put = |bits: u128, start: u32, v4: u32| {
        let shift = 96 - start;
        bits & !(u128::from(u32::MAX) << shift) | u128::from(v4) << shift
    };
    let v4 = inner.to_bits();
    // 6to4; Teredo with `inner` as server and as client; all the others.
    [
        put(base, 16, v4),
        put(put(base, 32, v4), 96, !v4),
        put(base, 96, v4),
    ]
    .into_iter()
    .map(Ipv6Addr::from_bits)
}

/// `inner` in every form in which [`judged`] finds it, below a documentation prefix where any will do.
pub(crate) fn forms(inner: Ipv4Addr) -> impl Iterator<Item = Ipv6Addr> {
    FORMS.into_iter().flat_map(move |base| {
        embedding(base, inner).filter(move |addr| {
            judged(IpAddr::V6(*addr))
                .skip(1)
                .all(|found| found == inner)
                && embedded(*addr) != [None; MOST - 1]
        })
    })
}

/// An address of each form, with zeros where the embedded one goes.
const FORMS: [Ipv6Addr; 7] = [
    Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0),
    Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
    Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0x5efe, 0, 0),
    Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0),
    Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0),
    Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0),
];

fn embedded(addr: Ipv6Addr) -> [Option<Ipv4Addr>; MOST - 1] {
    let bits = addr.to_bits();
    let low = at(bits, 96);
    match addr.segments() {
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; MOST - 1],
        // IPv4-compatible, RFC 4291 §2.5.5.1; IPv4-translated (SIIT), RFC 2765 §2.1; NAT64, RFC 6052 §2.1.
        [0, 0, 0, 0, 0, 0, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => [Some(low), None, None, None],
        // Local-use NAT64, RFC 8215, with any prefix length of RFC 6052 §2.2 that fits below /48.
        [0x64, 0xff9b, 1, ..] => local_nat64(bits),
        // 6to4, RFC 3056 §2.
        [0x2002, ..] => [Some(at(bits, 16)), None, None, None],
        // Teredo, RFC 4380 §4: the server, and the client inverted.
        [0x2001, 0, ..] => [Some(at(bits, 32)), Some(at(!bits, 96)), None, None],
        // ISATAP, RFC 5214 §6.1, whatever the prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => [Some(low), None, None, None],
        _ => [None; MOST - 1],
    }
}

/// The 32 bits from bit `start`, counted from the most significant.
fn at(bits: u128, start: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((bits << start >> 96) as u32)
}

/// Every reading that is not in 0.0.0.0/8, which no translator forwards and which an address meant for one
/// prefix length gives when it is read with another; the /96 reading if there is no other.
fn local_nat64(bits: u128) -> [Option<Ipv4Addr>; MOST - 1] {
    // RFC 6052 §2.2: bits 64 to 71 (the u octet) are skipped.
    let without_u = (bits >> 64 << 64) | (bits & ((1 << 56) - 1)) << 8;
    let meant = |v4: Ipv4Addr| (v4.octets().first() != Some(&0)).then_some(v4);
    let low = at(bits, 96);
    let shorter = [48, 56, 64].map(|start| meant(at(without_u, start)));
    let [a, b, c] = shorter;
    match shorter.iter().all(Option::is_none) {
        true => [Some(low), None, None, None],
        false => [meant(low), a, b, c],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever stood there before, and nothing else changes.
    #[test]
    fn an_address_is_put_in_each_of_its_places() {
        let base = "2001:ffff:ffff:ffff:8000:63bf:f5ff:fffe".parse().unwrap();
        let inner = Ipv4Addr::new(10, 0, 0, 1);
        let made: Vec<_> = embedding(base, inner)
            .map(|addr| addr.to_string())
            .collect();
        let expected = [
            "2001:a00:1:ffff:8000:63bf:f5ff:fffe",
            "2001:ffff:a00:1:8000:63bf:f5ff:fffe",
            "2001:ffff:ffff:ffff:8000:63bf:a00:1",
        ];
        assert_eq!(made, expected);
    }

    #[test]
    fn inner_addresses_are_found() {
        let rows: &[(&str, &[&str])] = &[
            ("1.2.3.4", &[]),
            ("2606:4700::1111", &[]),
            ("::", &[]),
            ("::1", &[]),
            ("::10.0.0.1", &["10.0.0.1"]),
            ("::ffff:0:10.0.0.1", &["10.0.0.1"]),
            ("64:ff9b::10.0.0.1", &["10.0.0.1"]),
            ("64:ff9b:1::10.0.0.1", &["10.0.0.1"]),
            // RFC 6052 §2.4's 192.0.2.33 below /48, /56 and /64.
            ("64:ff9b:1:c000:2:2100::", &["192.0.2.33", "2.33.0.0"]),
            ("64:ff9b:1:c0:0:221::", &["192.0.2.33"]),
            ("64:ff9b:1:0:c0:2:2100::", &["33.0.0.0", "192.0.2.33"]),
            ("64:ff9b:1::", &["0.0.0.0"]),
            ("2002:a00:1::", &["10.0.0.1"]),
            (
                "2001:0:4136:e378:8000:63bf:f5ff:fffe",
                &["65.54.227.120", "10.0.0.1"],
            ),
            ("fe80::5efe:10.0.0.1", &["10.0.0.1"]),
            ("2001:db8::200:5efe:10.0.0.1", &["10.0.0.1"]),
        ];
        for (addr, expected) in rows {
            let found: Vec<_> = judged(addr.parse().unwrap())
                .skip(1)
                .map(|a| a.to_string())
                .collect();
            assert_eq!(&found, expected, "{addr}");
        }
    }

    #[test]
    fn every_form_of_an_address_embeds_it_and_nothing_else() {
        let rows = [
            "64:ff9b::cb00:714d",
            "2002:cb00:714d::",
            "2001:0:cb00:714d::34ff:8eb2",
            "2001:db8::5efe:cb00:714d",
            "64:ff9b:1::cb00:714d",
            "::ffff:0:cb00:714d",
            "::cb00:714d",
        ];
        let inner = Ipv4Addr::new(203, 0, 113, 77);
        let found: Vec<_> = forms(inner).collect();
        let expected: Vec<Ipv6Addr> = rows.iter().map(|row| row.parse().unwrap()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let found: Vec<_> = judged("::ffff:10.0.0.1".parse().unwrap()).collect();
        assert_eq!(found, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    }
}
