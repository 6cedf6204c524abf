//! What a policy says that its author may not have meant.

use crate::{
    Action, Effect, Host, HostPattern, HostScope, Net, Origin, Policy, Port, Rule, RuleId,
    matcher::View,
    special,
    suffix::{is_public_suffix, is_top_level_domain},
    warning::{VainLift, Warning, WarningKind},
};
use std::collections::HashMap;

impl Policy {
    /// Looks for rules without effect, rules that say more than they should, and contradictions.
    ///
    /// COST: linear in the rules, but times the rules for each lifted network and bypassed host; for
    /// `policy check`, not for every reload.
    pub fn lint(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut seen: HashMap<&Effect, &Rule> = HashMap::new();
        for rule in self.rules() {
            let Origin::File { source, at } = &rule.origin else {
                continue;
            };
            let kind = match seen.insert(&rule.effect, rule) {
                Some(first) => Some(WarningKind::Repeated {
                    first: first.origin.to_string().into(),
                }),
                None => self.lint_rule(rule),
            };
            warnings.extend(kind.map(|kind| Warning {
                source_name: source.clone(),
                at: *at,
                kind,
            }));
        }
        warnings
    }

    fn lint_rule(&self, rule: &Rule) -> Option<WarningKind> {
        match &rule.effect {
            Effect::Host(action, pattern) => self
                .contradiction(*action, pattern)
                .or_else(|| self.too_broad(*action, pattern))
                .or_else(|| self.never_reached(pattern))
                .or_else(|| self.without_effect(*action, pattern)),
            Effect::Request(action, pattern, _) => self
                .too_broad(*action, pattern)
                .or_else(|| self.idle_request(*action, pattern)),
            Effect::Net(Action::Allow, net) => self
                .lifts_in_vain(*net)
                .or_else(|| self.lifts_nothing(*net)),
            Effect::Net(Action::Deny, _) | Effect::BypassNet(_) => None,
            Effect::BypassHost(pattern) => self
                .bypasses_nothing(pattern)
                .or_else(|| self.too_broad(Action::Allow, pattern).filter(is_suffix)),
        }
    }

    /// The allow of a pattern that is also blocked.
    fn contradiction(&self, action: Action, pattern: &HostPattern) -> Option<WarningKind> {
        let blocked = self
            .host_table()
            .at(&pattern.scope)
            .any(|slot| slot.is_whole(pattern) && !slot.action.is_allow());
        (action.is_allow() && blocked).then(|| WarningKind::Contradiction {
            pattern: Box::new(pattern.clone()),
        })
    }

    fn too_broad(&self, action: Action, pattern: &HostPattern) -> Option<WarningKind> {
        if let Some(suffix) = public_suffix(pattern).filter(|_| action.is_allow()) {
            let (pattern, suffix) = (Box::new(pattern.clone()), suffix.into());
            return Some(WarningKind::PublicSuffix { pattern, suffix });
        }
        let top_level = match &pattern.scope {
            HostScope::Exact(Host::Name(name)) if is_top_level_domain(name.as_str()) => {
                let text = name.as_str().into();
                return Some(WarningKind::BareTopLevel { text });
            }
            HostScope::Below(name) => !name.as_str().contains('.'),
            HostScope::Exact(_) | HostScope::Any => false,
        };
        let everything = pattern.scope == HostScope::Any
            && action.is_allow()
            && !self.default_action().is_allow();
        let pattern = || Box::new(pattern.clone());
        match (top_level, everything) {
            (true, _) => Some(WarningKind::TopLevel { pattern: pattern() }),
            (_, true) => Some(WarningKind::AllowsEverything { pattern: pattern() }),
            _ => None,
        }
    }

    /// A rule about ports that narrower rules for the same hosts cover, one by one.
    fn never_reached(&self, pattern: &HostPattern) -> Option<WarningKind> {
        let (first, last) = pattern.ports?;
        let mut narrower: Vec<_> = self
            .host_table()
            .at(&pattern.scope)
            .filter(|slot| slot.request.is_none() && !slot.is_whole(pattern))
            .filter_map(|slot| self.ports_of(slot.rule))
            .filter(|(from, to)| *from >= first && *to <= last)
            .collect();
        narrower.sort_unstable();
        let mut next = u32::from(first.get());
        for (from, to) in narrower {
            if u32::from(from.get()) > next {
                return None;
            }
            next = next.max(u32::from(to.get()) + 1);
        }
        let scope = HostPattern {
            scope: pattern.scope.clone(),
            ports: None,
        };
        (next > u32::from(last.get())).then(|| WarningKind::Unreachable {
            scope: scope.to_string().into(),
        })
    }

    fn ports_of(&self, rule: RuleId) -> Option<(Port, Port)> {
        match &self.rule(rule)?.effect {
            Effect::Host(_, pattern) => pattern.ports,
            _ => None,
        }
    }

    /// A rule about some requests whose verdict they would get without it.
    fn idle_request(&self, action: Action, pattern: &HostPattern) -> Option<WarningKind> {
        let others = self.rules().iter().any(|rule| match &rule.effect {
            Effect::Request(other, elsewhere, _) => *other != action && elsewhere.overlaps(pattern),
            _ => false,
        });
        if others {
            return None;
        }
        let same = self.host_table().at(&pattern.scope);
        let whole = same.filter(|slot| slot.request.is_none() && slot.covers_ports(pattern));
        let wider = self
            .host_table()
            .wider(pattern)
            .filter(|slot| slot.request.is_none());
        // An exact allow skips the CIDR rules; one that comes from a wider pattern does not.
        let explicit = action.is_allow() && matches!(pattern.scope, HostScope::Exact(_));
        let next = whole
            .map(|slot| (slot, true))
            .chain(wider.map(|slot| (slot, false)))
            .next();
        match next {
            Some((slot, same)) if slot.action == action && slot.covers_ports(pattern) => {
                let rule = self.rule_at(slot.rule).filter(|_| same || !explicit)?;
                Some(WarningKind::Covered {
                    by: rule.to_string().into(),
                })
            }
            Some(_) => None,
            None => (self.default_action() == action && !explicit)
                .then_some(WarningKind::SaysTheDefault),
        }
    }

    /// A rule after whose removal the same verdict would come from the next one.
    fn without_effect(&self, action: Action, pattern: &HostPattern) -> Option<WarningKind> {
        // An exact allow also skips the CIDR rules, so it is never idle.
        if action.is_allow() && matches!(pattern.scope, HostScope::Exact(_)) {
            return None;
        }
        let opposed = |slot: View<'_>| slot.is_whole(pattern) && slot.action != action;
        if self.host_table().at(&pattern.scope).any(opposed) {
            return None;
        }
        for slot in self.host_table().wider(pattern) {
            if slot.action != action || slot.request.is_some() {
                return None;
            }
            if slot.covers_ports(pattern) {
                let rule = self.rule_at(slot.rule)?;
                return Some(WarningKind::Covered {
                    by: rule.to_string().into(),
                });
            }
        }
        (self.default_action() == action).then_some(WarningKind::SaysTheDefault)
    }

    fn lifts_in_vain(&self, net: Net) -> Option<WarningKind> {
        let why = match () {
            () if special::is_loopback_net(net) => VainLift::ThisMachine,
            () if special::is_metadata_net(net) => VainLift::Metadata,
            () if !self.judges_addresses() => VainLift::NoName,
            () => return None,
        };
        Some(WarningKind::LiftsInVain { net, why })
    }

    /// Whether some name is allowed in a way that leaves its addresses to the CIDR rules.
    fn judges_addresses(&self) -> bool {
        let wide = |pattern: &HostPattern| !matches!(pattern.scope, HostScope::Exact(_));
        let named = self.rules().iter().any(|rule| match &rule.effect {
            Effect::Host(Action::Allow, pattern) | Effect::Request(Action::Allow, pattern, _) => {
                wide(pattern)
            }
            _ => false,
        });
        named || self.default_action().is_allow() || self.list_texts().any(|(kind, _)| kind == '+')
    }

    fn lifts_nothing(&self, net: Net) -> Option<WarningKind> {
        let lifts = self.rules().iter().any(|rule| match &rule.effect {
            Effect::Net(Action::Deny, block) => block.overlaps(net),
            _ => false,
        });
        (!lifts).then_some(WarningKind::LiftsNothing)
    }

    fn bypasses_nothing(&self, bypass: &HostPattern) -> Option<WarningKind> {
        let allowed = self.default_action().is_allow()
            || self.rules().iter().any(|rule| match &rule.effect {
                Effect::Host(Action::Allow, pattern)
                | Effect::Request(Action::Allow, pattern, _) => pattern.overlaps(bypass),
                _ => false,
            });
        (!allowed).then_some(WarningKind::BypassNotAllowed)
    }
}

/// The suffix of a wildcard directly below which anybody can register a name: `co.uk`, `github.io`.
///
/// A top-level domain is told apart, listed or not.
fn public_suffix(pattern: &HostPattern) -> Option<&str> {
    match &pattern.scope {
        HostScope::Below(name) if name.as_str().contains('.') => {
            is_public_suffix(name.as_str()).then_some(name.as_str())
        }
        _ => None,
    }
}

fn is_suffix(kind: &WarningKind) -> bool {
    matches!(
        kind,
        WarningKind::PublicSuffix { .. } | WarningKind::TopLevel { .. }
    )
}
