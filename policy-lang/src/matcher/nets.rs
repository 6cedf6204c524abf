//! CIDR rules by network, the longest prefix first.

use super::prefixes::{Prefix, Prefixes};
use crate::{Action, Net, RuleId};
use std::net::IpAddr;

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

/// A rule that the table is built from.
pub(crate) type NetRule = (RuleId, Action, Net, Author);

/// CIDR rules by network. The families never mix.
#[derive(Debug, Default)]
pub(crate) struct NetTable {
    v4: Prefixes,
    v6: Prefixes,
}

impl NetTable {
    pub(crate) fn new(rules: impl Iterator<Item = NetRule>) -> Self {
        let mut rules: Vec<_> = rules.collect();
        // Of the rules about one network the first is stored: that of the first author, and of his first.
        rules.sort_by_key(|(_, _, net, author)| (*net, *author));
        rules.dedup_by_key(|(_, _, net, _)| *net);
        let (v4, v6): (Vec<_>, Vec<_>) = rules
            .into_iter()
            .partition(|(_, _, net, _)| net.as_ipnet().addr().is_ipv4());
        Self {
            v4: Prefixes::new(v4.iter().filter_map(prefix).collect()),
            v6: Prefixes::new(v6.iter().filter_map(prefix).collect()),
        }
    }

    /// The rule about the smallest network that contains `addr`.
    #[inline]
    pub(crate) fn longest(&self, addr: IpAddr) -> Option<(RuleId, Action)> {
        let value = match addr {
            IpAddr::V4(v4) => self.v4.longest(u128::from(v4.to_bits()) << 96),
            IpAddr::V6(v6) => self.v6.longest(v6.to_bits()),
        };
        let rule = RuleId((value >> 1).checked_sub(1)?);
        match value & 1 {
            0 => Some((rule, Action::Deny)),
            _ => Some((rule, Action::Allow)),
        }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}

/// What stands for a rule: its number and one, and whether it allows. More rules than numbers, half a billion, do
/// not fit into memory.
fn prefix((rule, action, net, _): &NetRule) -> Option<Prefix> {
    let value = rule.0.checked_add(1).filter(|number| *number < 1 << 30)? << 1;
    let bits = match net.as_ipnet().addr() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    Some((bits, net.prefix_len(), value | u32::from(action.is_allow())))
}
