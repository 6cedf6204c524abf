//! A policy, compiled for questions.

use crate::{
    Action, AddrVerdict, Carriage, Effect, Host, HostVerdict, LocalAddrs, Net, Origin, Reason,
    Rule, RuleId, Target, Tier,
    embedded::judged,
    matcher::{Author, HostTable, NetTable},
    special,
};
use sha2::{Digest as _, Sha256};
use std::{fmt, net::IpAddr};

/// The rules of one sandbox, immutable.
///
/// Build one with [`crate::config::Document::compile`].
#[derive(Debug)]
pub struct Policy {
    default: Action,
    rules: Vec<Rule>,
    hosts: HostTable,
    nets: NetTable,
    bypass_hosts: HostTable,
    bypass_nets: NetTable,
    digest: Digest,
}

impl Policy {
    /// The policy that denies every host: what holds while no valid policy has been read.
    pub fn deny_all() -> Self {
        Self::new(Action::Deny, Vec::new())
    }

    /// Compiles rules; their order does not matter.
    pub(crate) fn new(default: Action, written: Vec<Rule>) -> Self {
        let digest = Digest::of(default, &written);
        let floor = special::networks(&special::FLOOR).map(|(text, net)| Rule {
            text: text.into(),
            effect: Effect::Net(Action::Deny, Net::from(net)),
            origin: Origin::BuiltIn,
        });
        let mut policy = Self {
            default,
            rules: Vec::new(),
            hosts: HostTable::default(),
            nets: NetTable::default(),
            bypass_hosts: HostTable::default(),
            bypass_nets: NetTable::default(),
            digest,
        };
        for (id, rule) in (0..).map(RuleId).zip(written.into_iter().chain(floor)) {
            policy.insert(id, rule);
        }
        policy
    }

    fn insert(&mut self, id: RuleId, rule: Rule) {
        match &rule.effect {
            Effect::Host(action, pattern) => self.hosts.insert(id, *action, pattern),
            Effect::Net(action, net) => {
                let author = match (&rule.origin, action) {
                    (Origin::BuiltIn, _) => Author::BuiltIn,
                    (Origin::File { .. }, Action::Deny) => Author::Blocker,
                    (Origin::File { .. }, Action::Allow) => Author::Allower,
                };
                self.nets.insert(id, *action, *net, author);
            }
            Effect::BypassHost(pattern) => self.bypass_hosts.insert(id, Action::Allow, pattern),
            Effect::BypassNet(net) => {
                self.bypass_nets
                    .insert(id, Action::Allow, *net, Author::Allower);
            }
        }
        self.rules.push(rule);
    }

    /// May `target` be asked for? Decided before any name is resolved.
    pub fn admit_host(&self, target: &Target) -> HostVerdict {
        let own = self.decide_host(target.host(), target);
        match target.host() {
            Host::Addr(addr) if own.action.is_allow() => {
                self.embedded_block(*addr, target).unwrap_or(own)
            }
            Host::Addr(_) | Host::Name(_) => own,
        }
    }

    fn decide_host(&self, host: &Host, target: &Target) -> HostVerdict {
        let slot = self
            .hosts
            .about(host)
            .find(|slot| slot.covers(target.port()));
        match slot {
            Some(slot) => HostVerdict {
                action: slot.action,
                reason: Reason::Rule(slot.rule),
                tier: self.tier(slot.rule),
            },
            None => HostVerdict {
                action: self.default,
                reason: Reason::Default,
                tier: None,
            },
        }
    }

    /// A literal that embeds an IPv4 address is refused where a rule blocks exactly that IPv4 address.
    fn embedded_block(&self, addr: IpAddr, target: &Target) -> Option<HostVerdict> {
        judged(addr)
            .skip(1)
            .map(|inner| self.decide_host(&Host::Addr(inner), target))
            .find(|verdict| {
                !verdict.action.is_allow()
                    && matches!(verdict.tier, Some(Tier::ExactPort | Tier::Exact))
            })
    }

    fn tier(&self, rule: RuleId) -> Option<Tier> {
        match &self.rule(rule)?.effect {
            Effect::Host(_, pattern) | Effect::BypassHost(pattern) => Some(pattern.tier()),
            Effect::Net(..) | Effect::BypassNet(_) => None,
        }
    }

    /// May the connection that `host` admitted go to `addr`, which the target's name resolved to (or which
    /// is the target's literal)?
    pub fn admit_addr(
        &self,
        target: &Target,
        host: &HostVerdict,
        addr: IpAddr,
        local: &LocalAddrs,
    ) -> AddrVerdict {
        let deny = |reason| AddrVerdict {
            action: Action::Deny,
            reason,
        };
        let allow = |reason| AddrVerdict {
            action: Action::Allow,
            reason,
        };
        if !host.action.is_allow() {
            return deny(host.reason);
        }
        if let Some(reason) = guarded(target, host, addr, local) {
            return deny(reason);
        }
        match host.reason.rule() {
            Some(rule) if host.is_explicit() => allow(Reason::Explicit(rule)),
            _ => match self.decide_nets(addr) {
                Err(reason) => deny(reason),
                Ok(reason) => allow(reason),
            },
        }
    }

    /// What the CIDR rules say about the address and all it embeds; every one of them must pass.
    fn decide_nets(&self, addr: IpAddr) -> Result<Reason, Reason> {
        let mut reason = Reason::Unblocked;
        for judged in judged(addr) {
            let Some(slot) = self.nets.containing(judged).next() else {
                continue;
            };
            let rule = slot.rule;
            match slot.action {
                Action::Deny => return Err(Reason::Net { rule, judged }),
                Action::Allow => reason = Reason::Lifted(rule),
            }
        }
        Ok(reason)
    }

    /// How the traffic of an admitted connection is carried. Grants nothing.
    pub fn carriage(&self, target: &Target, addr: IpAddr) -> Carriage {
        let by_host = self
            .bypass_hosts
            .about(target.host())
            .find(|slot| slot.covers(target.port()))
            .map(|slot| slot.rule);
        let by_net = || {
            let slot = self.bypass_nets.containing(addr.to_canonical()).next();
            slot.map(|slot| slot.rule)
        };
        by_host
            .or_else(by_net)
            .map_or(Carriage::Intercept, Carriage::Tunnel)
    }

    /// The verdict where no host rule covers the target.
    pub fn default_action(&self) -> Action {
        self.default
    }

    /// The rule that a verdict of this policy names.
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.index())
    }

    /// Every rule, the built-in ones last.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Names what the policy means: equal for equal rules in any order, spelling or file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// One sentence for people: what decided.
    pub fn describe(&self, reason: Reason) -> String {
        let named = |id| match self.rule(id) {
            Some(rule) => format!("`{}` ({})", rule.effect, rule.origin),
            None => "a rule of another policy".to_owned(),
        };
        match reason {
            Reason::Rule(id) => format!("rule {}", named(id)),
            Reason::Default => format!("no rule covers it and the default is {}", self.default),
            Reason::Explicit(id) => format!("rule {} names the host exactly", named(id)),
            Reason::Unblocked => "no rule blocks the address".to_owned(),
            Reason::Lifted(id) => format!("rule {} lifts the block", named(id)),
            Reason::Net { rule, judged } => format!("{judged} is blocked by rule {}", named(rule)),
            Reason::ThisMachine { judged } => {
                format!("{judged} is this machine, reached only by a rule that names host and port")
            }
            Reason::Metadata { judged } => {
                format!(
                    "{judged} is a cloud metadata address, reached only by a rule that is the address itself"
                )
            }
            Reason::OwnListener(listener) => format!("{listener} is the proxy itself"),
        }
    }

    pub(crate) fn host_table(&self) -> &HostTable {
        &self.hosts
    }

    pub(crate) fn net_table(&self) -> &NetTable {
        &self.nets
    }
}

/// Addresses that no CIDR rule opens.
fn guarded(
    target: &Target,
    host: &HostVerdict,
    addr: IpAddr,
    local: &LocalAddrs,
) -> Option<Reason> {
    let own = judged(addr).find_map(|judged| local.listener_at(judged, target.port()));
    if let Some(listener) = own {
        return Some(Reason::OwnListener(listener));
    }
    let literal = *target.host() == Host::Addr(addr.to_canonical());
    if !(literal && host.is_explicit())
        && let Some(judged) = judged(addr).find(|judged| special::is_metadata(*judged))
    {
        return Some(Reason::Metadata { judged });
    }
    let names_port = host.action.is_allow() && host.tier == Some(Tier::ExactPort);
    if names_port {
        return None;
    }
    judged(addr)
        .find(|judged| special::is_loopback(*judged) || local.contains(*judged))
        .map(|judged| Reason::ThisMachine { judged })
}

/// SHA-256 over the meaning of a policy. Displays as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    fn of(default: Action, rules: &[Rule]) -> Self {
        let mut lines: Vec<String> = rules.iter().map(|rule| rule.effect.to_string()).collect();
        lines.sort_unstable();
        lines.dedup();
        let mut hash = Sha256::new();
        hash.update(format!("default {default}\n"));
        for line in lines {
            hash.update(line);
            hash.update("\n");
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
