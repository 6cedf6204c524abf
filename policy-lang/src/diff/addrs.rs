//! Classes of addresses.

use crate::{
    Effect, Net, Policy,
    embedded::{embedding, judged},
    special,
};
use ipnet::{IpNet, Ipv6Net};
use std::{
    collections::{BTreeSet, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Networks that both policies have and that are looked at nevertheless.
const COMMON: usize = 256;

const KNOWN: [&str; 5] = [
    "203.0.113.77",
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "2001:db8::77",
];

/// One address of each class that rules about networks tell apart: the ends of each network and what lies beside
/// them. Networks that both policies have matter where they overlap one that only one of them has.
///
/// The ends of a network whose addresses all embed others embed 0.0.0.0 and 255.255.255.255, which every policy
/// blocks, so such networks have witnesses that embed the others' witnesses.
pub(super) fn classes(before: &Policy, after: &Policy) -> Vec<IpAddr> {
    let [first, second] = [before, after].map(nets);
    let differing: Vec<Net> = first.symmetric_difference(&second).map(net).collect();
    let common = first.intersection(&second).map(net);
    let (near, far): (Vec<_>, Vec<_>) =
        common.partition(|net| differing.iter().any(|other| other.overlaps(*net)));
    let nets: Vec<Net> = differing
        .iter()
        .copied()
        .chain(near)
        .chain(far.into_iter().take(COMMON))
        .collect();
    let all = nets.iter().copied().flat_map(ends);
    let all: BTreeSet<_> = all.chain(special::metadata()).collect();
    // Those that people know come first, to be the witnesses of their classes.
    let known = KNOWN.into_iter().filter_map(|text| text.parse().ok());
    let plain: Vec<IpAddr> = known.chain(all).collect();
    let inner = || plain.iter().filter_map(v4).take(COMMON);
    let embedding = nets.iter().filter_map(embeds).flat_map(|net| {
        let inside = inner().flat_map(move |v4| embedding(net.network(), v4));
        inside
            .filter(move |addr| net.contains(addr))
            .map(IpAddr::V6)
    });
    let mut seen = HashSet::new();
    plain
        .iter()
        .copied()
        .chain(embedding)
        .map(|addr: IpAddr| addr.to_canonical())
        .filter(|addr| seen.insert(*addr))
        .collect()
}

fn v4(addr: &IpAddr) -> Option<Ipv4Addr> {
    match addr {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    }
}

/// A network whose addresses embed others.
fn embeds(net: &Net) -> Option<Ipv6Net> {
    match net.as_ipnet() {
        IpNet::V6(v6) => Some(v6).filter(|net| judged(IpAddr::V6(net.network())).count() > 1),
        IpNet::V4(_) => None,
    }
}

fn nets(policy: &Policy) -> HashSet<Effect> {
    let effects = policy.rules().iter().map(|rule| &rule.effect);
    let nets = effects.filter(|effect| matches!(effect, Effect::Net(..) | Effect::BypassNet(_)));
    nets.cloned().collect()
}

fn net(effect: &Effect) -> Net {
    match effect {
        Effect::Net(_, net) | Effect::BypassNet(net) => *net,
        Effect::Host(..) | Effect::Request(..) | Effect::BypassHost(_) => {
            Net::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
        }
    }
}

fn ends(net: Net) -> Vec<IpAddr> {
    let (first, last) = (net.as_ipnet().network(), net.as_ipnet().broadcast());
    let beside = |addr: IpAddr, up: bool| match addr {
        IpAddr::V4(v4) => {
            let bits = v4.to_bits();
            let next = if up {
                bits.checked_add(1)
            } else {
                bits.checked_sub(1)
            };
            next.map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            let next = if up {
                bits.checked_add(1)
            } else {
                bits.checked_sub(1)
            };
            next.map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    };
    let neighbours = [
        beside(first, false),
        beside(last, true),
        beside(first, true),
    ];
    [first, last]
        .into_iter()
        .chain(neighbours.into_iter().flatten())
        .collect()
}
