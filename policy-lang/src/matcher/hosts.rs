//! Host rules by host.

use super::{
    buckets::{Buckets, Entry, Kind},
    slot::{self, HostSlot, View},
    suffix::{self, Suffixes},
};
use crate::{
    Action, Effect, Host, HostName, HostPattern, HostScope, Origin, Port, Position, RequestPattern,
    Rule, RuleId, rule::ListMark,
};
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// The labels of the deepest name: 253 bytes of one-byte labels and dots.
const MOST_LABELS: usize = 127;

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

/// All rules about hosts.
///
/// One table holds every name once, under the hash of the whole name. A name from a list costs no more than
/// its bytes in the file and its slot in the table; a name with rules of its own has a place.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    /// The bits that mark the identifiers of this table's listed rules.
    mark: ListMark,
    names: Buckets,
    places: Vec<Place>,
    /// The texts of the lists, one after the other.
    text: String,
    lists: Vec<Listed>,
    addrs: HashMap<IpAddr, Vec<HostSlot>>,
    any: Vec<HostSlot>,
}

/// The rules about one name.
#[derive(Debug)]
struct Place {
    name: Box<str>,
    /// About the name itself.
    exact: Vec<HostSlot>,
    /// About all below it.
    below: Vec<HostSlot>,
}

/// A list within the text.
#[derive(Debug)]
struct Listed {
    start: usize,
    action: Action,
    source: Arc<str>,
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
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (rule, action, pattern, request) in rules {
            let stored = HostSlot::new(rule, action, pattern.ports, request);
            let slots = match &pattern.scope {
                HostScope::Any => &mut table.any,
                HostScope::Exact(Host::Addr(addr)) => table.addrs.entry(*addr).or_default(),
                HostScope::Exact(Host::Name(name)) | HostScope::Below(name) => {
                    let next = table.places.len();
                    let number = *numbers.entry(name.as_str()).or_insert(next);
                    if number == next {
                        table.places.push(Place::of(name.as_str()));
                    }
                    match table.places.get_mut(number) {
                        Some(place) => place.slots(matches!(pattern.scope, HostScope::Exact(_))),
                        None => continue,
                    }
                }
            };
            slot::insert(slots, stored);
        }
        table.fill(lists);
        table
    }

    fn fill(&mut self, lists: Vec<NameList>) {
        let listed: usize = lists.iter().map(|list| list.names.len()).sum();
        self.names = Buckets::for_entries(self.places.len() + listed);
        for (value, place) in (0..).zip(&self.places) {
            let kind = Kind::Place;
            self.names
                .insert(suffix::hash(&place.name), Entry { kind, value });
        }
        for list in lists {
            self.add(list);
        }
    }

    fn add(&mut self, list: NameList) {
        let start = self.text.len();
        self.lists.push(Listed {
            start,
            action: list.action,
            source: list.source,
        });
        match start {
            0 => self.text = list.text,
            _ => self.text.push_str(&list.text),
        }
        // A name at the end of one text must not run on into the next.
        self.text.push('\n');
        for (offset, kind) in list.names {
            let offset = start + offset as usize;
            // More text than an offset can say has been refused before.
            if let Ok(value) = u32::try_from(offset) {
                self.add_name(offset, Entry { kind, value }, list.action);
            }
        }
    }

    fn add_name(&mut self, offset: usize, entry: Entry, action: Action) {
        let name = name_at(&self.text, offset);
        let hash = suffix::hash(name);
        match self.names.find(hash, |other| self.is(other, name)) {
            None => self.names.insert(hash, entry),
            // A duplicate within a list, which the first stands for.
            Some(other) if other.kind == entry.kind && self.action(other) == Some(action) => {}
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
        if entry.kind == Kind::Place {
            return entry.value as usize;
        }
        let number = self.places.len();
        let mut place = Place::of(name_at(&self.text, entry.value as usize));
        place.add(self.stored(entry, self.action(entry).unwrap_or(Action::Deny)));
        self.places.push(place);
        let value = u32::try_from(number).unwrap_or(u32::MAX);
        let kind = Kind::Place;
        self.names.replace(hash, entry, Entry { kind, value });
        number
    }

    /// The rules that a listed name stands for: about itself, about all below it.
    fn stored(&self, entry: Entry, action: Action) -> [Option<HostSlot>; 2] {
        let stored = |exact| HostSlot::new(self.listed_id(entry, exact), action, None, None);
        let exact = || Some(stored(true));
        let below = || Some(stored(false));
        match entry.kind {
            Kind::Exact => [exact(), None],
            Kind::Below => [None, below()],
            Kind::Both => [exact(), below()],
            Kind::Place => [None, None],
        }
    }

    /// Names the rule that a listed name stands for. Where it stands for two, the one about all below is named
    /// by the mark before the name.
    fn listed_id(&self, entry: Entry, exact: bool) -> RuleId {
        let back = u32::from(entry.kind == Kind::Both && !exact);
        RuleId::listed(self.mark, entry.value.saturating_sub(back))
    }

    /// Whether `entry` is about `name`.
    #[inline]
    fn is(&self, entry: Entry, name: &str) -> bool {
        let value = entry.value as usize;
        if entry.kind == Kind::Place {
            return self
                .places
                .get(value)
                .is_some_and(|place| *place.name == *name);
        }
        let bytes = self.text.as_bytes().get(value..).unwrap_or_default();
        bytes
            .strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.first().is_none_or(|byte| !in_name(*byte)))
    }

    /// The verdict of a listed name; `None` for a place.
    fn action(&self, entry: Entry) -> Option<Action> {
        let offset = entry.value as usize;
        let after = self.lists.partition_point(|list| list.start <= offset);
        let list = self.lists.get(after.checked_sub(1)?)?;
        (entry.kind != Kind::Place).then_some(list.action)
    }

    /// The rule that decides about `host` and `port`, and whether rules about some requests come before it.
    ///
    /// COST: no allocation; one cache line for each label of the name, and the bytes of those that match.
    #[inline]
    pub(crate) fn decide(&self, host: &Host, port: Port) -> (Option<View<'_>>, bool) {
        let mut decided = settle((None, false), self.any.iter().map(HostSlot::view), port);
        match host {
            Host::Addr(addr) => {
                let slots = self.addrs.get(addr).into_iter().flatten();
                settle(decided, slots.map(HostSlot::view), port)
            }
            Host::Name(name) => {
                let name = name.as_str();
                // From the shortest suffix to the name itself: what comes later is more specific.
                for (suffix, hash) in Suffixes::of(name) {
                    if let Some(entry) = self.names.find(hash, |entry| self.is(entry, suffix)) {
                        let level = self.level(entry, suffix.len() == name.len());
                        decided = settle(decided, level, port);
                    }
                }
                decided
            }
        }
    }

    /// Every rule about `host`, whatever its port, most specific first. The order of DESIGN §4.
    pub(crate) fn about<'t>(&'t self, host: &Host) -> impl Iterator<Item = View<'t>> + use<'t> {
        self.exact(host).chain(self.below(host)).chain(self.any())
    }

    /// The rules about exactly `host`.
    pub(crate) fn exact<'t>(&'t self, host: &Host) -> impl Iterator<Item = View<'t>> + use<'t> {
        match host {
            Host::Name(name) => self.of_name(name.as_str(), true),
            Host::Addr(addr) => Level::of(self.addrs.get(addr).map(Vec::as_slice)),
        }
    }

    /// Wildcards that cover `host`, longest first.
    fn below<'t>(&'t self, host: &Host) -> impl Iterator<Item = View<'t>> + use<'t> {
        let mut levels = [const { Level::none() }; MOST_LABELS];
        let mut count = 0;
        if let Host::Name(name) = host {
            let name = name.as_str();
            let parents = Suffixes::of(name).take_while(|(suffix, _)| suffix.len() < name.len());
            for ((suffix, hash), level) in parents.zip(&mut levels) {
                if let Some(entry) = self.names.find(hash, |entry| self.is(entry, suffix)) {
                    *level = self.level(entry, false);
                }
                count += 1;
            }
        }
        levels.into_iter().rev().skip(MOST_LABELS - count).flatten()
    }

    fn any(&self) -> impl Iterator<Item = View<'_>> {
        self.any.iter().map(HostSlot::view)
    }

    /// The rules about exactly this scope, most specific first.
    pub(crate) fn at(&self, scope: &HostScope) -> impl Iterator<Item = View<'_>> + use<'_> {
        match scope {
            HostScope::Exact(Host::Name(name)) => self.of_name(name.as_str(), true),
            HostScope::Exact(Host::Addr(addr)) => {
                Level::of(self.addrs.get(addr).map(Vec::as_slice))
            }
            HostScope::Below(name) => self.of_name(name.as_str(), false),
            HostScope::Any => Level::of(Some(&self.any)),
        }
    }

    /// The rules that come after those with `pattern` for some target of it, most specific first.
    pub(crate) fn wider<'t>(&'t self, pattern: &'t HostPattern) -> impl Iterator<Item = View<'t>> {
        let host = match &pattern.scope {
            HostScope::Exact(host) => Some(host.clone()),
            HostScope::Below(name) => Some(Host::Name(name.clone())),
            HostScope::Any => None,
        };
        let same = self
            .at(&pattern.scope)
            .filter(|view| view.is_wider(pattern));
        let wilder = host.map(|host| self.below(&host).chain(self.any()));
        same.chain(wilder.into_iter().flatten())
            .filter(|view| view.meets_ports(pattern))
    }

    /// Rules about names near `host` that do not cover it: what lies below it, and its parents exactly.
    pub(crate) fn near<'t>(&'t self, host: &'t Host) -> impl Iterator<Item = View<'t>> {
        let name = match host {
            Host::Name(name) => Some(name),
            Host::Addr(_) => None,
        };
        let below = name.map(|name| self.of_name(name.as_str(), false));
        let parents = name
            .into_iter()
            .flat_map(|name| name.parents())
            .map(|parent| self.of_name(parent, true));
        below.into_iter().chain(parents).flatten()
    }

    fn of_name(&self, name: &str, exact: bool) -> Level<'_> {
        let hash = suffix::hash(name);
        match self.names.find(hash, |entry| self.is(entry, name)) {
            Some(entry) => self.level(entry, exact),
            None => Level::none(),
        }
    }

    /// The rules of an entry about its name itself, or about all below it.
    #[inline]
    fn level(&self, entry: Entry, exact: bool) -> Level<'_> {
        match (entry.kind, exact) {
            (Kind::Exact, false) | (Kind::Below, true) => Level::none(),
            (Kind::Exact | Kind::Below | Kind::Both, _) => {
                Level::One(self.action(entry).map(|action| View {
                    rule: self.listed_id(entry, exact),
                    action,
                    ports: None,
                    request: None,
                }))
            }
            (Kind::Place, exact) => {
                let place = self.places.get(entry.value as usize);
                Level::of(place.map(|place| match exact {
                    true => place.exact.as_slice(),
                    false => place.below.as_slice(),
                }))
            }
        }
    }

    /// The listed rule that an identifier names; see [`HostTable::listed_id`].
    pub(crate) fn listed(&self, offset: u32) -> Option<ListedName<'_>> {
        let at = offset as usize;
        let marked = matches!(self.text.as_bytes().get(at)?, b'.' | b'|');
        let start = at + usize::from(marked);
        let after = self.lists.partition_point(|list| list.start <= start);
        let list = self.lists.get(after.checked_sub(1)?)?;
        let before = self.text.get(list.start..start)?;
        Some(ListedName {
            name: name_at(&self.text, start),
            below: marked || before.ends_with("*."),
            action: list.action,
            source: &list.source,
            before,
        })
    }
}

/// One name of a list.
pub(crate) struct ListedName<'t> {
    pub(crate) name: &'t str,
    /// Whether the rule is about all below the name, rather than itself.
    below: bool,
    pub(crate) action: Action,
    pub(crate) source: &'t Arc<str>,
    /// The list's text before the name.
    pub(crate) before: &'t str,
}

impl ListedName<'_> {
    /// The rule that the name stands for, as if it stood alone.
    pub(crate) fn to_rule(&self, mark: ListMark) -> Option<Rule> {
        let line_start = self.before.rfind('\n').map_or(0, |at| at + 1);
        let before_name = self.before.get(line_start..)?;
        let word_start = before_name
            .rfind(|c: char| c.is_ascii_whitespace())
            .map_or(0, |at| at + 1);
        let name = HostName::parse(self.name).ok()?;
        let scope = match self.below {
            true => HostScope::Below(name),
            false => HostScope::Exact(Host::Name(name)),
        };
        let pattern = HostPattern { scope, ports: None };
        let column = before_name.get(..word_start)?.chars().count() + 1;
        let line = self.before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Some(Rule {
            text: self.name.into(),
            effect: match mark {
                ListMark::Hosts => Effect::Host(self.action, pattern),
                ListMark::Bypass => Effect::BypassHost(pattern),
            },
            origin: Origin::File {
                source: self.source.clone(),
                at: Position {
                    line: u32::try_from(line).unwrap_or(u32::MAX),
                    column: u32::try_from(column).unwrap_or(u32::MAX),
                },
            },
        })
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

/// The rules of one name, most specific first.
enum Level<'t> {
    One(Option<View<'t>>),
    Many(std::slice::Iter<'t, HostSlot>),
}

impl<'t> Level<'t> {
    const fn none() -> Self {
        Self::One(None)
    }

    fn of(slots: Option<&'t [HostSlot]>) -> Self {
        match slots {
            Some(slots) => Self::Many(slots.iter()),
            None => Self::none(),
        }
    }
}

impl<'t> Iterator for Level<'t> {
    type Item = View<'t>;

    #[inline]
    fn next(&mut self) -> Option<View<'t>> {
        match self {
            Self::One(view) => view.take(),
            Self::Many(slots) => slots.next().map(HostSlot::view),
        }
    }
}

/// What has been decided, once more specific rules have spoken.
#[inline]
fn settle<'t>(
    before: (Option<View<'t>>, bool),
    level: impl Iterator<Item = View<'t>>,
    port: Port,
) -> (Option<View<'t>>, bool) {
    let mut by_request = false;
    for view in level.filter(|view| view.covers(port)) {
        by_request |= view.request.is_some();
        // A block of some requests leaves the others to the next rule.
        if view.request.is_none() || view.action.is_allow() {
            return (Some(view), by_request);
        }
    }
    (before.0, before.1 || by_request)
}

/// The canonical name that starts at `offset`.
fn name_at(text: &str, offset: usize) -> &str {
    let rest = text.get(offset..).unwrap_or("");
    let end = rest.bytes().position(|byte| !in_name(byte));
    rest.get(..end.unwrap_or(rest.len())).unwrap_or("")
}

/// Whether a byte can stand in a canonical name.
pub(crate) fn in_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
}
