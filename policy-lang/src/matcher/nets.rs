//! CIDR rules by network, the longest prefix first.

use super::prefixes::Prefixes;
use crate::{Action, Net, RuleId};
use ipnet::IpNet;
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
#[derive(Debug)]
pub(crate) struct NetTable {
    v4: Prefixes<u32>,
    v6: Prefixes<u128>,
}

impl NetTable {
    pub(crate) fn new(rules: impl Iterator<Item = NetRule>) -> Self {
        let mut rules: Vec<_> = rules.collect();
        // Of the rules about one network the first is stored: that of the first author, and of his first.
        rules.sort_by_key(|(_, _, net, author)| (*net, *author));
        rules.dedup_by_key(|(_, _, net, _)| *net);
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (rule, action, net, _) in rules {
            let Some(value) = value(rule, action) else {
                continue;
            };
            match net.as_ipnet() {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.prefix_len(), value)),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.prefix_len(), value)),
            }
        }
        Self {
            v4: Prefixes::new(v4),
            v6: Prefixes::new(v6),
        }
    }

    /// The rule about the smallest network that contains `addr`.
    #[inline]
    pub(crate) fn longest(&self, addr: IpAddr) -> Option<(RuleId, Action)> {
        let value = match addr {
            IpAddr::V4(v4) => self.v4.longest(v4.to_bits()),
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
fn value(rule: RuleId, action: Action) -> Option<u32> {
    let number = rule.0.checked_add(1).filter(|number| *number < 1 << 30)?;
    Some(number << 1 | u32::from(action.is_allow()))
}
