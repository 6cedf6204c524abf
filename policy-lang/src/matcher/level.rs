//! The rules of one name, most specific first.

use super::slot::{HostSlot, Scope, View};
use crate::{Action, RuleId};

/// What lists say about a name.
#[derive(Debug, Default)]
pub(super) struct Listed {
    blocked: Option<RuleId>,
    allowed: Option<RuleId>,
}

impl Listed {
    /// Adds the rule of a list. Where lists repeat each other, the first speaks.
    #[inline]
    pub(super) fn add(&mut self, action: Action, rule: RuleId) {
        let place = match action {
            Action::Allow => &mut self.allowed,
            Action::Deny => &mut self.blocked,
        };
        *place = place.or(Some(rule));
    }

    /// What counts: the block, if there is one.
    #[inline]
    pub(super) fn first(&self) -> Option<(RuleId, Action)> {
        let blocked = self.blocked.map(|rule| (rule, Action::Deny));
        blocked.or(self.allowed.map(|rule| (rule, Action::Allow)))
    }
}

/// Rules of its own and those of lists, in the order of DESIGN §4.
#[derive(Debug)]
pub(super) struct Level<'t> {
    slots: std::slice::Iter<'t, HostSlot>,
    listed: Listed,
    scope: Scope,
}

impl<'t> Level<'t> {
    pub(super) fn new(slots: &'t [HostSlot], listed: Listed, scope: Scope) -> Self {
        Self {
            slots: slots.iter(),
            listed,
            scope,
        }
    }

    fn view(&self, action: Action, rule: RuleId) -> View<'t> {
        View {
            rule,
            action,
            ports: None,
            request: None,
            tier: self.scope.tier(None),
        }
    }
}

impl<'t> Iterator for Level<'t> {
    type Item = View<'t>;

    /// What lists say is about every port and request, so it comes after rules about some; of two that are
    /// about as much, the block comes first.
    fn next(&mut self) -> Option<View<'t>> {
        let next = self.slots.as_slice().first();
        if next.is_none_or(HostSlot::allows_everything)
            && let Some(rule) = self.listed.blocked.take()
        {
            return Some(self.view(Action::Deny, rule));
        }
        if let Some(slot) = self.slots.next() {
            return Some(slot.view(self.scope));
        }
        let rule = self.listed.allowed.take()?;
        Some(self.view(Action::Allow, rule))
    }
}
