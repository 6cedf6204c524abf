//! Tables from hosts and addresses to rules, most specific first.

use crate::{Action, Host, HostPattern, HostScope, Net, Port, RuleId};
use ipnet::IpNet;
use std::{collections::HashMap, net::IpAddr};

/// One rule at one place of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot<R> {
    pub(crate) rule: RuleId,
    pub(crate) action: Action,
    /// What orders slots at the same place.
    rank: R,
}

/// Ports of a host slot; `None` is every port.
type Ports = Option<(Port, Port)>;

impl Slot<Ports> {
    pub(crate) fn covers(&self, port: Port) -> bool {
        self.rank
            .is_none_or(|(first, last)| (first..=last).contains(&port))
    }

    /// One port, then ranges from narrow to wide, then every port; of two equals the block first.
    fn order(&self) -> (u32, Ports, bool) {
        let width = self.rank.map_or(u32::MAX, |(first, last)| {
            u32::from(last.get()) - u32::from(first.get())
        });
        (width, self.rank, self.action.is_allow())
    }
}

/// Host rules by host.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    exact: HashMap<Host, Vec<Slot<Ports>>>,
    below: HashMap<Box<str>, Vec<Slot<Ports>>>,
    any: Vec<Slot<Ports>>,
}

impl HostTable {
    pub(crate) fn insert(&mut self, rule: RuleId, action: Action, pattern: &HostPattern) {
        let place = match &pattern.scope {
            HostScope::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostScope::Below(name) => self.below.entry(name.as_str().into()).or_default(),
            HostScope::Any => &mut self.any,
        };
        let slot = Slot {
            rule,
            action,
            rank: pattern.ports,
        };
        let at = place.partition_point(|other| other.order() <= slot.order());
        place.insert(at, slot);
    }

    /// Every rule about `host`, whatever its port, most specific first. The order of DESIGN §4.
    pub(crate) fn about<'t>(&'t self, host: &'t Host) -> impl Iterator<Item = &'t Slot<Ports>> {
        let name = match host {
            Host::Name(name) => Some(name),
            Host::Addr(_) => None,
        };
        let below = name
            .into_iter()
            .flat_map(|name| name.parents())
            .filter_map(|parent| self.below.get(parent))
            .flatten();
        self.exact(host).chain(below).chain(&self.any)
    }

    /// The rules about exactly `host`.
    pub(crate) fn exact(&self, host: &Host) -> impl Iterator<Item = &Slot<Ports>> + use<'_> {
        self.exact.get(host).into_iter().flatten()
    }

    /// Rules about names near `host` that do not cover it: its parents exactly, and what lies below it.
    pub(crate) fn near<'t>(&'t self, host: &'t Host) -> impl Iterator<Item = &'t Slot<Ports>> {
        let name = match host {
            Host::Name(name) => Some(name),
            Host::Addr(_) => None,
        };
        let below = name
            .into_iter()
            .filter_map(|name| self.below.get(name.as_str()))
            .flatten();
        let parents = name
            .into_iter()
            .flat_map(|name| name.parents())
            .filter_map(|parent| crate::HostName::parse(parent).ok())
            .filter_map(|parent| self.exact.get(&Host::Name(parent)))
            .flatten();
        below.chain(parents)
    }
}

/// Whose word counts when two rules are about the same network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Author {
    /// A block that a person wrote.
    Blocker,
    /// An allow that a person wrote.
    Allower,
    /// A rule that holds in every policy.
    BuiltIn,
}

/// CIDR rules by network.
#[derive(Debug, Default)]
pub(crate) struct NetTable {
    nets: HashMap<IpNet, Vec<Slot<Author>>>,
    /// Prefix lengths in use, longest first: IPv4, IPv6.
    lengths: [Vec<u8>; 2],
}

impl NetTable {
    pub(crate) fn insert(&mut self, rule: RuleId, action: Action, net: Net, rank: Author) {
        let net = net.as_ipnet();
        let [v4, v6] = &mut self.lengths;
        let lengths = if net.addr().is_ipv4() { v4 } else { v6 };
        if let Err(at) = lengths.binary_search_by(|len| net.prefix_len().cmp(len)) {
            lengths.insert(at, net.prefix_len());
        }
        let place = self.nets.entry(net).or_default();
        let at = place.partition_point(|other| other.rank <= rank);
        place.insert(at, Slot { rule, action, rank });
    }

    /// Every rule whose network contains `addr`, longest prefix first.
    pub(crate) fn containing(&self, addr: IpAddr) -> impl Iterator<Item = &Slot<Author>> {
        let [v4, v6] = &self.lengths;
        let lengths = if addr.is_ipv4() { v4 } else { v6 };
        lengths
            .iter()
            .filter_map(move |len| IpNet::new(addr, *len).ok())
            .filter_map(|net| self.nets.get(&net.trunc()))
            .flatten()
    }
}
