//! Building the table of host rules.

use super::{
    buckets::{Buckets, Entry, Kind},
    filter::Filter,
    hosts::{HostTable, List, Place},
    listed::ListTable,
    slot::{self, HostSlot},
    suffix::Key,
};
use crate::{Action, Host, HostPattern, HostScope, RequestPattern, RuleId, rule_id::ListMark};
use std::{collections::HashMap, ops::ControlFlow};

/// A rule that the table is built from.
pub(crate) type HostRule<'r> = (RuleId, Action, &'r HostPattern, Option<&'r RequestPattern>);

impl HostTable {
    /// A table of rules and of lists that were made with `key`.
    pub(crate) fn new<'r>(
        rules: impl Iterator<Item = HostRule<'r>>,
        lists: Vec<ListTable>,
        mark: ListMark,
        key: Key,
    ) -> Self {
        let mut table = Self {
            mark,
            key,
            ..Self::default()
        };
        table.add_rules(rules);
        table.index_places();
        for list in lists {
            table.add_list(list);
        }
        table
    }

    fn add_rules<'r>(&mut self, rules: impl Iterator<Item = HostRule<'r>>) {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (rule, action, pattern, request) in rules {
            let slots = match &pattern.scope {
                HostScope::Any => &mut self.any,
                HostScope::Exact(Host::Addr(addr)) => self.addrs.entry(*addr).or_default(),
                HostScope::Exact(Host::Name(name)) | HostScope::Below(name) => {
                    let next = self.places.len();
                    let number = *numbers.entry(name.as_str()).or_insert(next);
                    if number == next {
                        self.places.push(Place::of(name.as_str()));
                    }
                    match self.places.get_mut(number) {
                        Some(place) => {
                            place.slots_mut(matches!(pattern.scope, HostScope::Exact(_)))
                        }
                        None => continue,
                    }
                }
            };
            slot::insert(slots, HostSlot::new(rule, action, pattern.ports, request));
        }
    }

    fn index_places(&mut self) {
        self.names = Buckets::for_entries(self.places.len());
        self.filter = Filter::for_hashes(2 * self.places.len());
        for (number, place) in (0..).zip(&self.places) {
            let mut labels = 0;
            let _ = self.key.suffixes(place.name.as_bytes(), |start, hash| {
                labels += 1;
                match (start, labels) {
                    (0, _) => {
                        self.names.insert(hash, Entry::new(Kind::Place, number));
                    }
                    // Lookups start at two labels.
                    (_, 1) => return ControlFlow::Continue(()),
                    (..) => self.names.mark_longer(hash),
                }
                self.filter.insert(hash);
                ControlFlow::Continue(())
            });
            self.single_labels |= labels == 1;
        }
    }

    fn add_list(&mut self, table: ListTable) {
        let end = |list: &List| list.start as usize + list.table.ids();
        // More text than identifiers can tell apart has been refused before.
        if let Ok(start) = u32::try_from(self.lists.last().map_or(0, end)) {
            self.single_labels |= table.single_labels;
            self.lists.push(List { start, table });
        }
    }
}

impl Place {
    fn of(name: &str) -> Self {
        Self {
            name: name.into(),
            exact: Vec::new(),
            below: Vec::new(),
        }
    }

    fn slots_mut(&mut self, exact: bool) -> &mut Vec<HostSlot> {
        match exact {
            true => &mut self.exact,
            false => &mut self.below,
        }
    }
}
