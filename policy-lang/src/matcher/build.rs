//! Building the table of host rules.

use super::{
    buckets::{Buckets, Entry, Kind},
    hosts::{HostTable, Listed, Place, name_at},
    slot::{self, HostSlot},
    suffix::{self, Suffixes},
};
use crate::{Action, Host, HostPattern, HostScope, RequestPattern, RuleId, rule::ListMark};
use std::{collections::HashMap, sync::Arc};

/// The names of one list file, all for every port and every request.
#[derive(Debug)]
pub(crate) struct NameList {
    pub(crate) action: Action,
    /// The file's name.
    pub(crate) source: Arc<str>,
    /// The file, kept: rules are compared with it and shown from it.
    pub(crate) text: String,
    /// Where in the text the canonical names start, and what each means.
    pub(crate) names: Vec<(u32, Kind)>,
}

impl NameList {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .map(|(offset, _)| name_at(&self.text, *offset as usize))
    }
}

/// A rule that the table is built from.
pub(crate) type HostRule<'r> = (RuleId, Action, &'r HostPattern, Option<&'r RequestPattern>);

impl HostTable {
    pub(crate) fn new<'r>(
        rules: impl Iterator<Item = HostRule<'r>>,
        lists: Vec<NameList>,
        mark: ListMark,
    ) -> Self {
        let mut table = Self {
            mark,
            ..Self::default()
        };
        table.add_rules(rules);
        table.make_room(&lists);
        for (value, place) in (0..).zip(&table.places) {
            let entry = Entry::new(Kind::Place, value);
            table.names.insert(suffix::hash(&place.name), entry);
        }
        let mut offsets = Vec::new();
        let bytes: usize = lists.iter().map(|list| list.text.len() + 1).sum();
        for list in lists {
            table.add_list(list, bytes, &mut offsets);
        }
        table.text.shrink_to_fit();
        table.mark_above(&offsets);
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
                        Some(place) => place.slots(matches!(pattern.scope, HostScope::Exact(_))),
                        None => continue,
                    }
                }
            };
            slot::insert(slots, HostSlot::new(rule, action, pattern.ports, request));
        }
    }

    /// Makes room for every name and for a marker at every name above one.
    fn make_room(&mut self, lists: &[NameList]) {
        let mut markers = Vec::new();
        let mut count = 0;
        let places = self.places.iter().map(|place| &*place.name);
        for name in places.chain(lists.iter().flat_map(NameList::names)) {
            count += 1;
            self.single_labels |= !name.contains('.');
            markers.extend(above(name).map(|(_, hash)| hash));
        }
        markers.sort_unstable();
        markers.dedup();
        self.names = Buckets::for_entries(count + markers.len());
    }

    /// `bytes` is how long the texts of all lists will be.
    fn add_list(&mut self, list: NameList, bytes: usize, offsets: &mut Vec<u32>) {
        let start = self.text.len();
        self.lists.push(Listed {
            start,
            action: list.action,
            source: list.source,
        });
        match start {
            // The usual case: one list, whose text is not copied.
            0 => self.text = list.text,
            _ => self.text.push_str(&list.text),
        }
        // A name at the end of one text must not run on into the next.
        if !self.text.ends_with('\n') {
            self.text.reserve_exact(bytes - self.text.len());
            self.text.push('\n');
        }
        for (offset, kind) in list.names {
            // More text than an entry can point into has been refused before.
            if let Ok(offset) = u32::try_from(start + offset as usize) {
                self.add_name(Entry::new(kind, offset), list.action);
                offsets.push(offset);
            }
        }
    }

    fn add_name(&mut self, entry: Entry, action: Action) {
        let name = name_at(&self.text, entry.value() as usize);
        let hash = suffix::hash(name);
        match self
            .names
            .find(hash, |other| self.is(other, name.as_bytes()))
            .entry
        {
            None => self.names.insert(hash, entry),
            // A duplicate within a list, which the first stands for.
            Some(other) if other.kind() == entry.kind() && self.action(other) == Some(action) => {}
            Some(other) => {
                let number = self.place_for(hash, other);
                let slots = self.stored(entry, action);
                if let Some(place) = self.places.get_mut(number) {
                    place.add(slots);
                }
            }
        }
    }

    /// The place of a name that more than one rule is about.
    fn place_for(&mut self, hash: u64, entry: Entry) -> usize {
        if entry.kind() == Kind::Place {
            return entry.value() as usize;
        }
        let number = self.places.len();
        let mut place = Place::of(name_at(&self.text, entry.value() as usize));
        place.add(self.stored(entry, self.action(entry).unwrap_or(Action::Deny)));
        self.places.push(place);
        let value = u32::try_from(number).unwrap_or(u32::MAX);
        self.names
            .replace(hash, entry, Entry::new(Kind::Place, value));
        number
    }

    /// The rules that a listed name stands for: about itself, about all below it.
    fn stored(&self, entry: Entry, action: Action) -> [Option<HostSlot>; 2] {
        let stored = |exact| HostSlot::new(self.listed_id(entry, exact), action, None, None);
        let exact = || Some(stored(true));
        let below = || Some(stored(false));
        match entry.kind() {
            Kind::Exact => [exact(), None],
            Kind::Below => [None, below()],
            Kind::Both => [exact(), below()],
            Kind::Place => [None, None],
        }
    }

    /// Marks every name above another, so that a lookup goes no deeper than there are rules.
    fn mark_above(&mut self, offsets: &[u32]) {
        let mut names = std::mem::take(&mut self.names);
        let listed = offsets
            .iter()
            .map(|offset| name_at(&self.text, *offset as usize));
        for name in self.places.iter().map(|place| &*place.name).chain(listed) {
            for (suffix, hash) in above(name) {
                names.mark(hash, |entry| self.is(entry, suffix));
            }
        }
        self.names = names;
    }
}

/// The names above `name` that lookups start from or pass: all of two labels and more.
fn above(name: &str) -> impl Iterator<Item = (&[u8], u64)> {
    Suffixes::of(name)
        .skip(1)
        .take_while(|(suffix, _)| suffix.len() < name.len())
}

impl Place {
    fn of(name: &str) -> Self {
        Self {
            name: name.into(),
            exact: Vec::new(),
            below: Vec::new(),
        }
    }

    fn slots(&mut self, exact: bool) -> &mut Vec<HostSlot> {
        match exact {
            true => &mut self.exact,
            false => &mut self.below,
        }
    }

    fn add(&mut self, slots: [Option<HostSlot>; 2]) {
        for (stored, exact) in slots.into_iter().zip([true, false]) {
            if let Some(stored) = stored {
                slot::insert(self.slots(exact), stored);
            }
        }
    }
}
