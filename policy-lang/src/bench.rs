//! Structures alone, for the benches to measure beside those of other crates. No part of the interface.

use crate::{
    Action, Net, RuleId,
    matcher::{Author, NetTable},
};
use std::net::IpAddr;

/// The table of CIDR rules.
#[derive(Debug)]
pub struct Nets(NetTable);

impl Nets {
    /// Blocks these networks.
    pub fn new(nets: impl Iterator<Item = Net>) -> Self {
        let rules = (0..).map(RuleId).zip(nets);
        Self(NetTable::new(rules.map(|(rule, net)| {
            (rule, Action::Deny, net, Author::Blocker)
        })))
    }

    /// The number of the smallest network that contains `addr`.
    #[inline]
    pub fn longest(&self, addr: IpAddr) -> Option<usize> {
        self.0.longest(addr).map(|(rule, _)| rule.index())
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
