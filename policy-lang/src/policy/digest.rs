//! What a policy means, as a number.

use crate::{Action, Budget, language::NetDefault, model::Model};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// SHA-256 over the meaning of a policy. Displays as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(model: &Model) -> Self {
        let rules = model.rules.iter().map(|rule| rule.effect.to_string());
        let bypasses = model.bypass_lists.iter().map(|list| ("bypass", list));
        let lists = model.lists.iter().map(|list| match list.action {
            Action::Allow => ("allow", list),
            Action::Deny => ("block", list),
        });
        let lists = lists.chain(bypasses).map(|(verb, list)| {
            let bytes = Self(list.digest);
            format!("{verb} list {bytes}")
        });
        let limits = model
            .limits
            .iter()
            .map(|l| format!("limit {} {}", l.pattern, l.rate));
        let budgets = model.budgets.iter().map(Budget::to_string);
        let injections = model
            .injections
            .iter()
            .map(|i| format!("inject {} {}", i.pattern, i.credential));
        let terms = limits.chain(budgets).chain(injections);
        let mut lines: Vec<_> = rules.chain(lists).chain(terms).collect();
        lines.sort_unstable();
        lines.dedup();
        let default = model
            .default
            .as_ref()
            .map_or(Action::Deny, |(action, _)| *action);
        let open = matches!(model.net_default, Some((NetDefault::Open, _)));
        let mut hash = Sha256::new();
        hash.update(format!("default {default}\nopen {open}\n"));
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
