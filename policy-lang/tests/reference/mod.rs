//! A second matcher, written from DESIGN §4 alone and as slow as it likes: text in, booleans out.
//!
//! It shares no code with the library. It takes every rule in turn, asks how specific it is for the
//! request, and keeps the best.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The lists of a proxy-config.json, in canonical spelling.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) default_allow: bool,
    pub(crate) allow: Vec<String>,
    pub(crate) block: Vec<String>,
    pub(crate) allow_cidr: Vec<String>,
    pub(crate) block_cidr: Vec<String>,
    /// Whether they allow, the host, and the only method they are about.
    pub(crate) requests: Vec<(bool, String, &'static str)>,
}

/// A request by canonical host, as `a.b`, `1.2.3.4` or `[::1]`.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) addr: IpAddr,
    pub(crate) local: Vec<IpAddr>,
    pub(crate) method: &'static str,
}

const FLOOR: [&str; 6] = [
    "0.0.0.0/8",
    "100.64.0.0/10",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "ff00::/8",
];

const METADATA: [&str; 12] = [
    "169.254.169.254",
    "169.254.169.253",
    "169.254.169.123",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fe80::a9fe:a9fe",
];

/// The verdict on the host, and the verdict on the request at its address if the host is allowed.
pub(crate) fn decide(rules: &Rules, request: &Request) -> (bool, bool) {
    // A host is asked for if a request to it might pass, so a block of some requests says nothing about it.
    let some = |(_, is_whole, allow): Rank| allow || is_whole;
    let (mut admitted, _) = host(rules, &request.host, request.port, some);
    if let Some(literal) = literal(&request.host)
        && views(literal).iter().skip(1).any(|inner| {
            let (allowed, tier) = host(rules, &inner.to_string(), request.port, some);
            !allowed && tier <= 2
        })
    {
        admitted = false;
    }
    let ranked = ranked(rules, &request.host, request.port);
    let first = ranked
        .iter()
        .map(|(rank, _)| *rank)
        .find(|rank| some(*rank));
    // Where such rules come into it, a method is what it is in upper case.
    let by_request = ranked
        .iter()
        .any(|(rank, method)| method.is_some() && first.is_none_or(|first| *rank <= first));
    let odd = by_request && request.method.chars().any(char::is_lowercase);
    let rule = ranked
        .iter()
        .find(|(_, method)| method.is_none_or(|method| method == request.method));
    let (allowed, tier) = rule.map_or((rules.default_allow, 5), |(((tier, ..), _, allow), _)| {
        (*allow, *tier)
    });
    let allowed = admitted && allowed && !odd;
    (admitted, allowed && addr(rules, request, tier))
}

/// How specific a rule is, whether it is about all requests, and whether it allows.
type Rank = ((u32, usize, u32), bool, bool);

/// Most specific wins; of two about the same host the one about some requests, then the block. Tiers as DESIGN
/// numbers them, 5 the default.
fn host(rules: &Rules, host: &str, port: u16, counts: impl Fn(Rank) -> bool) -> (bool, u32) {
    let ranked = ranked(rules, host, port);
    let mut ranks = ranked.iter().map(|(rank, _)| *rank);
    ranks
        .find(|rank| counts(*rank))
        .map_or((rules.default_allow, 5), |((tier, ..), _, allow)| {
            (allow, tier)
        })
}

/// The rules that cover a host, each with the only method it is about, in the order in which they count.
fn ranked(rules: &Rules, host: &str, port: u16) -> Vec<(Rank, Option<&'static str>)> {
    let allow = rules.allow.iter().map(|pattern| (true, pattern, None));
    let block = rules.block.iter().map(|pattern| (false, pattern, None));
    let some = rules.requests.iter();
    let some = some.map(|(allow, pattern, method)| (*allow, pattern, Some(*method)));
    let covering = allow.chain(block).chain(some);
    let mut ranked: Vec<_> = covering
        .filter_map(|(allow, pattern, method)| {
            let rank = (specificity(pattern, host, port)?, method.is_none(), allow);
            Some((rank, method))
        })
        .collect();
    ranked.sort_unstable();
    ranked
}

/// Smaller is more specific: tier, then how much shorter than anything the suffix is, then port or not.
fn specificity(pattern: &str, host: &str, port: u16) -> Option<(u32, usize, u32)> {
    let (name, range) = split_port(pattern);
    let width = match range {
        None => 65_536,
        Some(range) => {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            let (low, high): (u16, u16) = (low.parse().ok()?, high.parse().ok()?);
            (low..=high)
                .contains(&port)
                .then_some(u32::from(high - low))?
        }
    };
    if name == "*" {
        return Some((4, 0, width));
    }
    match name.strip_prefix('*') {
        Some(suffix) if host.ends_with(suffix) && literal(host).is_none() => {
            Some((3, 1_000 - suffix.len(), width))
        }
        None if name == host => Some((if range.is_some() { 1 } else { 2 }, 0, width)),
        _ => None,
    }
}

fn split_port(pattern: &str) -> (&str, Option<&str>) {
    match pattern.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (pattern, None),
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

fn addr(rules: &Rules, request: &Request, tier: u32) -> bool {
    let views = views(request.addr);
    let is_literal = literal(&request.host) == views.first().copied();
    let metadata = views
        .iter()
        .any(|view| METADATA.contains(&view.to_string().as_str()));
    if metadata && !(is_literal && tier <= 2) {
        return false;
    }
    let own = views.iter().any(|view| {
        in_net("127.0.0.0/8", *view)
            || in_net("0.0.0.0/8", *view)
            || in_net("::/127", *view)
            || request.local.contains(view)
    });
    if own {
        return tier == 1;
    }
    tier <= 2 || views.iter().all(|view| unblocked(rules, *view))
}

/// Longest prefix wins; at equal length a block, then a lift, then the floor.
fn unblocked(rules: &Rules, addr: IpAddr) -> bool {
    let block = rules.block_cidr.iter().map(|net| (net.as_str(), 0, false));
    let allow = rules.allow_cidr.iter().map(|net| (net.as_str(), 1, true));
    let floor = FLOOR.iter().map(|net| (*net, 2, false));
    block
        .chain(allow)
        .chain(floor)
        .filter(|(net, ..)| in_net(net, addr))
        .min_by_key(|(net, author, _)| (128 - prefix(net), *author))
        .is_none_or(|(_, _, allow)| allow)
}

fn prefix(net: &str) -> usize {
    net.split_once('/')
        .and_then(|(_, bits)| bits.parse().ok())
        .unwrap_or(0)
}

fn in_net(net: &str, addr: IpAddr) -> bool {
    let base: Option<IpAddr> = net.split_once('/').and_then(|(base, _)| base.parse().ok());
    base.is_some_and(|base| {
        base.is_ipv4() == addr.is_ipv4()
            && bits(base).get(..prefix(net)) == bits(addr).get(..prefix(net))
    })
}

/// An address as text of zeros and ones.
fn bits(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(v4) => format!("{:032b}", v4.to_bits()),
        IpAddr::V6(v6) => format!("{:0128b}", v6.to_bits()),
    }
}

/// The address, unmapped, and the IPv4 addresses that ride in it.
fn views(addr: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = addr else {
        return vec![addr];
    };
    let bits = bits(addr);
    let at = |start: usize| inner(bits.get(start..start + 32).unwrap_or_default());
    let low = at(96);
    let starts = |prefix: Ipv6Addr, len: usize| in_net(&format!("{prefix}/{len}"), addr);
    let group = |text: &str| text.parse::<Ipv6Addr>().unwrap_or(v6);
    if starts(group("::ffff:0:0"), 96) {
        return vec![low];
    }
    let mut views = vec![addr];
    if starts(group("::"), 127) {
        return views;
    }
    if [group("::"), group("::ffff:0:0:0"), group("64:ff9b::")]
        .iter()
        .any(|p| starts(*p, 96))
    {
        views.push(low);
    } else if starts(group("64:ff9b:1::"), 48) {
        let without_u = format!(
            "{}{}00000000",
            bits.get(..64).unwrap_or_default(),
            bits.get(72..).unwrap_or_default()
        );
        let read = |start: usize| inner(without_u.get(start..start + 32).unwrap_or_default());
        let meant: Vec<_> = [low, read(48), read(56), read(64)]
            .into_iter()
            .filter(|v4| !in_net("0.0.0.0/8", *v4))
            .collect();
        views.extend(if meant.is_empty() { vec![low] } else { meant });
    } else if starts(group("2002::"), 16) {
        views.push(at(16));
    } else if starts(group("2001::"), 32) {
        let flipped: String = bits
            .chars()
            .map(|bit| if bit == '0' { '1' } else { '0' })
            .collect();
        views.extend([at(32), inner(flipped.get(96..).unwrap_or_default())]);
    } else if matches!(v6.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _]) {
        views.push(low);
    }
    views
}

fn inner(bits: &str) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(
        u32::from_str_radix(bits, 2).unwrap_or(0),
    ))
}
