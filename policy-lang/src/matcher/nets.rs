//! CIDR rules by network, longest prefix first.

use crate::{Action, Net, RuleId};
use ipnet::IpNet;
use std::{collections::HashMap, net::IpAddr};

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

/// One rule about one network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NetSlot {
    pub(crate) rule: RuleId,
    pub(crate) action: Action,
    author: Author,
}

/// CIDR rules by network.
#[derive(Debug, Default)]
pub(crate) struct NetTable {
    nets: HashMap<IpNet, Vec<NetSlot>>,
    /// Prefix lengths in use, longest first: IPv4, IPv6.
    lengths: [Vec<u8>; 2],
}

/// A rule that the table is built from.
pub(crate) type NetRule = (RuleId, Action, Net, Author);

impl NetTable {
    pub(crate) fn new(rules: impl Iterator<Item = NetRule>) -> Self {
        let mut table = Self::default();
        for (rule, action, net, author) in rules {
            table.insert(rule, action, net, author);
        }
        table
    }

    fn insert(&mut self, rule: RuleId, action: Action, net: Net, author: Author) {
        let net = net.as_ipnet();
        let [v4, v6] = &mut self.lengths;
        let lengths = if net.addr().is_ipv4() { v4 } else { v6 };
        if let Err(at) = lengths.binary_search_by(|len| net.prefix_len().cmp(len)) {
            lengths.insert(at, net.prefix_len());
        }
        let place = self.nets.entry(net).or_default();
        let at = place.partition_point(|other| other.author <= author);
        let slot = NetSlot {
            rule,
            action,
            author,
        };
        place.insert(at, slot);
    }

    /// Every rule whose network contains `addr`, longest prefix first.
    pub(crate) fn containing(&self, addr: IpAddr) -> impl Iterator<Item = &NetSlot> {
        let [v4, v6] = &self.lengths;
        let lengths = if addr.is_ipv4() { v4 } else { v6 };
        lengths
            .iter()
            .filter_map(move |len| IpNet::new(addr, *len).ok())
            .filter_map(|net| self.nets.get(&net.trunc()))
            .flatten()
    }
}
