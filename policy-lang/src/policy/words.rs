//! What a policy says to people.

use crate::{Action, Effect, Host, HostScope, Policy, Reason, Rule};

impl Policy {
    /// One sentence for people: what decided.
    pub fn describe(&self, reason: Reason) -> String {
        let named = |id| match self.rule_at(id) {
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
            Reason::OddPath => {
                "its path is malformed, and rules about paths cover the host".to_owned()
            }
            Reason::OddMethod => {
                "its method has lower-case letters, and rules about requests cover the host"
                    .to_owned()
            }
            Reason::OwnListener(listener) => format!("{listener} is the proxy itself"),
        }
    }

    /// A host that is allowed and that somebody who asked for `host` may have meant: one or two slips of the finger away,
    /// or a name above or below it. Looks at the first few hundred rules only: it is a hint, and guests can ask for many.
    pub fn nearest_allowed(&self, host: &Host) -> Option<String> {
        const RULES: usize = 256;
        let Host::Name(asked) = host else {
            return None;
        };
        let near = self.hosts.near(host).find(|slot| slot.action.is_allow());
        if let Some(rule) = near.and_then(|slot| self.rule(slot.rule)) {
            return Some(rule.text.to_string());
        }
        let asked = asked.as_str();
        let slips = |rule: &Rule| match &rule.effect {
            Effect::Host(Action::Allow, pattern) => match &pattern.scope {
                HostScope::Exact(Host::Name(name)) => {
                    let name = name.as_str();
                    let far = name.len().abs_diff(asked.len()) > 2 || name.len() < 7;
                    let slips = (!far).then(|| strsim::damerau_levenshtein(name, asked));
                    slips.filter(|slips| (1..=2).contains(slips))
                }
                _ => None,
            },
            _ => None,
        };
        let rules = self.rules.iter().take(RULES);
        let near = rules.filter_map(|rule| Some((slips(rule)?, rule)));
        near.min_by_key(|(slips, _)| *slips)
            .map(|(_, rule)| rule.text.to_string())
    }
}
