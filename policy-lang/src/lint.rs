//! What a policy says that its author may not have meant.

use crate::{
    Action, Effect, HostPattern, HostScope, Net, Origin, Policy, Rule,
    matcher::View,
    warning::{Warning, WarningKind},
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
                .or_else(|| self.without_effect(*action, pattern)),
            Effect::Request(..) => None,
            Effect::Net(Action::Allow, net) => self.lifts_nothing(*net),
            Effect::Net(Action::Deny, _) | Effect::BypassNet(_) => None,
            Effect::BypassHost(pattern) => self.bypasses_nothing(pattern),
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
        let top_level = match &pattern.scope {
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
