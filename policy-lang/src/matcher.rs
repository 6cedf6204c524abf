//! Tables from hosts and addresses to rules, most specific first.

use crate::{
    Action, Host, HostPattern, HostScope, Net, Port, RequestPattern, RuleId, pattern::width,
};
use ipnet::IpNet;
use std::{collections::HashMap, net::IpAddr};

/// One rule at one place of a table of hosts.
#[derive(Debug)]
pub(crate) struct HostSlot {
    pub(crate) rule: RuleId,
    pub(crate) action: Action,
    /// First and last; `None` is every port.
    pub(crate) ports: Option<(Port, Port)>,
    /// Which requests the rule is about; `None` is every request.
    pub(crate) request: Option<Box<RequestPattern>>,
}

impl HostSlot {
    pub(crate) fn covers(&self, port: Port) -> bool {
        self.ports
            .is_none_or(|(first, last)| (first..=last).contains(&port))
    }

    /// One port, then ranges from narrow to wide, then every port; with requests before without; of two
    /// equals the block first.
    fn order(&self) -> impl Ord + use<'_> {
        let any_request = self.request.is_none();
        let request = self.request.as_deref().map(RequestPattern::order);
        (
            width(self.ports),
            any_request,
            request,
            self.action.is_allow(),
            self.ports,
        )
    }
}

/// Host rules by host.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    exact: HashMap<Host, Vec<HostSlot>>,
    below: HashMap<Box<str>, Vec<HostSlot>>,
    any: Vec<HostSlot>,
}

impl HostTable {
    pub(crate) fn insert(
        &mut self,
        rule: RuleId,
        action: Action,
        pattern: &HostPattern,
        request: Option<&RequestPattern>,
    ) {
        let place = match &pattern.scope {
            HostScope::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostScope::Below(name) => self.below.entry(name.as_str().into()).or_default(),
            HostScope::Any => &mut self.any,
        };
        let slot = HostSlot {
            rule,
            action,
            ports: pattern.ports,
            request: request.cloned().map(Box::new),
        };
        let at = place.partition_point(|other| other.order() <= slot.order());
        place.insert(at, slot);
    }

    /// Every rule about `host`, whatever its port, most specific first. The order of DESIGN §4.
    pub(crate) fn about<'t>(&'t self, host: &'t Host) -> impl Iterator<Item = &'t HostSlot> {
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
    pub(crate) fn exact(&self, host: &Host) -> impl Iterator<Item = &HostSlot> + use<'_> {
        self.exact.get(host).into_iter().flatten()
    }

    /// The rules about exactly this scope, most specific first.
    pub(crate) fn at(&self, scope: &HostScope) -> impl Iterator<Item = &HostSlot> {
        let place = match scope {
            HostScope::Exact(host) => self.exact.get(host),
            HostScope::Below(name) => self.below.get(name.as_str()),
            HostScope::Any => Some(&self.any),
        };
        place.into_iter().flatten()
    }

    /// The rules that come after those with `pattern` for some target of it, most specific first.
    pub(crate) fn wider<'t>(
        &'t self,
        pattern: &'t HostPattern,
    ) -> impl Iterator<Item = &'t HostSlot> {
        let name = match &pattern.scope {
            HostScope::Exact(Host::Name(name)) | HostScope::Below(name) => Some(name),
            HostScope::Exact(Host::Addr(_)) | HostScope::Any => None,
        };
        let below = name
            .into_iter()
            .flat_map(|name| name.parents())
            .filter_map(|parent| self.below.get(parent))
            .flatten();
        let any = match &pattern.scope {
            HostScope::Any => None,
            HostScope::Exact(_) | HostScope::Below(_) => Some(&self.any),
        };
        let same = self
            .at(&pattern.scope)
            .filter(|slot| width(slot.ports) > width(pattern.ports));
        let overlaps = |slot: &&HostSlot| match (slot.ports, pattern.ports) {
            (Some((a, b)), Some((c, d))) => a <= d && c <= b,
            _ => true,
        };
        same.chain(below)
            .chain(any.into_iter().flatten())
            .filter(overlaps)
    }

    /// Rules about names near `host` that do not cover it: its parents exactly, and what lies below it.
    pub(crate) fn near<'t>(&'t self, host: &'t Host) -> impl Iterator<Item = &'t HostSlot> {
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

impl NetTable {
    pub(crate) fn insert(&mut self, rule: RuleId, action: Action, net: Net, author: Author) {
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
