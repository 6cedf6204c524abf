//! Host rules by host.

use super::{
    buckets::{Buckets, Entry, Kind},
    slot::{HostSlot, Scope, View},
    suffix::{self, Suffixes},
};
use crate::{
    Action, Effect, Host, HostName, HostPattern, HostScope, Origin, Port, Position, Rule, RuleId,
    rule::ListMark,
};
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// The labels of the deepest name: 253 bytes of one-byte labels and dots.
const MOST_LABELS: usize = 127;

/// All rules about hosts.
///
/// One table holds every name once, under the hash of the whole name. A name from a list costs no more than
/// its bytes in the file and its slot in the table; a name with rules of its own has a place. A lookup starts
/// at the last two labels and goes on as long as there are rules about longer names, so most names that no
/// rule is about cost one access to memory.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    /// The bits that mark the identifiers of this table's listed rules.
    pub(super) mark: ListMark,
    pub(super) names: Buckets,
    /// Whether there are rules about names of one label, such as `localhost` or `*.com`.
    pub(super) single_labels: bool,
    pub(super) places: Vec<Place>,
    /// The texts of the lists, one after the other.
    pub(super) text: String,
    pub(super) lists: Vec<Listed>,
    pub(super) addrs: HashMap<IpAddr, Vec<HostSlot>>,
    pub(super) any: Vec<HostSlot>,
}

/// The rules about one name.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: Box<str>,
    /// About the name itself.
    pub(super) exact: Vec<HostSlot>,
    /// About all below it.
    pub(super) below: Vec<HostSlot>,
}

/// A list within the text.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) start: usize,
    pub(super) action: Action,
    pub(super) source: Arc<str>,
}

impl HostTable {
    /// The rule that decides about `host` and `port`, and whether rules about some requests come before it.
    ///
    /// COST: no allocation; one cache line for each label that rules reach down to, and the bytes of the names
    /// that match.
    #[inline]
    pub(crate) fn decide(&self, host: &Host, port: Port) -> (Option<View<'_>>, bool) {
        let decided = match self.any.is_empty() {
            true => (None, false),
            false => settle((None, false), self.any(), port),
        };
        match host {
            Host::Addr(addr) => {
                let slots = self.addrs.get(addr).map(Vec::as_slice);
                settle(decided, Level::of(slots, Scope::Exact), port)
            }
            Host::Name(name) => self.decide_name(name.as_str(), port, decided),
        }
    }

    /// From the shortest suffix to the name itself: what comes later is more specific.
    #[inline]
    fn decide_name<'t>(&'t self, name: &str, port: Port, any: Decided<'t>) -> Decided<'t> {
        let mut decided = any;
        let mut single = true;
        for (suffix, hash) in Suffixes::of(name) {
            let first = std::mem::take(&mut single);
            if first && !self.single_labels {
                continue;
            }
            let found = self.names.find(hash, |entry| self.is(entry, suffix));
            if let Some(entry) = found.entry {
                decided = match self.level(entry, suffix.len() == name.len()) {
                    Level::One(Some(view)) => (Some(view), false),
                    level => settle(decided, level, port),
                };
            }
            if !first && !found.longer {
                break;
            }
        }
        decided
    }

    /// Every rule about `host`, whatever its port, most specific first. The order of DESIGN §4.
    pub(crate) fn about<'t>(&'t self, host: &Host) -> impl Iterator<Item = View<'t>> + use<'t> {
        self.exact(host).chain(self.below(host)).chain(self.any())
    }

    /// The rules about exactly `host`.
    pub(crate) fn exact<'t>(&'t self, host: &Host) -> impl Iterator<Item = View<'t>> + use<'t> {
        match host {
            Host::Name(name) => self.of_name(name.as_str(), true),
            Host::Addr(addr) => Level::of(self.addrs.get(addr).map(Vec::as_slice), Scope::Exact),
        }
    }

    /// Wildcards that cover `host`, longest first.
    fn below<'t>(&'t self, host: &Host) -> impl Iterator<Item = View<'t>> + use<'t> {
        let mut levels = [const { Level::NONE }; MOST_LABELS];
        if let Host::Name(name) = host {
            let name = name.as_str();
            let parents = Suffixes::of(name).take_while(|(suffix, _)| suffix.len() < name.len());
            for ((suffix, hash), level) in parents.zip(&mut levels) {
                let found = self.names.find(hash, |entry| self.is(entry, suffix));
                if let Some(entry) = found.entry {
                    *level = self.level(entry, false);
                }
            }
        }
        levels.into_iter().rev().flatten()
    }

    fn any(&self) -> Level<'_> {
        Level::of(Some(&self.any), Scope::Any)
    }

    /// The rules about exactly this scope, most specific first.
    pub(crate) fn at(&self, scope: &HostScope) -> impl Iterator<Item = View<'_>> + use<'_> {
        match scope {
            HostScope::Exact(Host::Name(name)) => self.of_name(name.as_str(), true),
            HostScope::Exact(Host::Addr(addr)) => {
                Level::of(self.addrs.get(addr).map(Vec::as_slice), Scope::Exact)
            }
            HostScope::Below(name) => self.of_name(name.as_str(), false),
            HostScope::Any => self.any(),
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
        let found = self
            .names
            .find(hash, |entry| self.is(entry, name.as_bytes()));
        match found.entry {
            Some(entry) => self.level(entry, exact),
            None => Level::NONE,
        }
    }

    /// Whether `entry` is about `name`.
    #[inline]
    pub(super) fn is(&self, entry: Entry, name: &[u8]) -> bool {
        let value = entry.value() as usize;
        if entry.kind() == Kind::Place {
            let place = self.places.get(value);
            return place.is_some_and(|place| place.name.as_bytes() == name);
        }
        let bytes = self.text.as_bytes().get(value..).unwrap_or_default();
        bytes
            .strip_prefix(name)
            .is_some_and(|rest| rest.first().is_none_or(|byte| !in_name(*byte)))
    }

    /// The verdict of a listed name; `None` for a place.
    pub(super) fn action(&self, entry: Entry) -> Option<Action> {
        let offset = entry.value() as usize;
        let list = self.list_at(offset)?;
        (entry.kind() != Kind::Place).then_some(list.action)
    }

    fn list_at(&self, offset: usize) -> Option<&Listed> {
        let after = self.lists.partition_point(|list| list.start <= offset);
        self.lists.get(after.checked_sub(1)?)
    }

    /// The rules of an entry about its name itself, or about all below it.
    #[inline]
    fn level(&self, entry: Entry, exact: bool) -> Level<'_> {
        let scope = match exact {
            true => Scope::Exact,
            false => Scope::Below,
        };
        match (entry.kind(), exact) {
            (Kind::Exact, false) | (Kind::Below, true) => Level::NONE,
            (Kind::Exact | Kind::Below | Kind::Both, _) => {
                Level::One(self.action(entry).map(|action| View {
                    rule: self.listed_id(entry, exact),
                    action,
                    ports: None,
                    request: None,
                    tier: scope.tier(None),
                }))
            }
            (Kind::Place, exact) => {
                let place = self.places.get(entry.value() as usize);
                let slots = place.map(|place| match exact {
                    true => place.exact.as_slice(),
                    false => place.below.as_slice(),
                });
                Level::of(slots, scope)
            }
        }
    }

    /// Names the rule that a listed name stands for. Where it stands for two, the one about all below is named
    /// by the mark before the name.
    pub(super) fn listed_id(&self, entry: Entry, exact: bool) -> RuleId {
        let back = u32::from(entry.kind() == Kind::Both && !exact);
        RuleId::listed(self.mark, entry.value().saturating_sub(back))
    }

    /// The listed rule that an identifier names, as if it stood alone.
    pub(crate) fn listed(&self, offset: u32) -> Option<Rule> {
        let at = offset as usize;
        let marked = matches!(self.text.as_bytes().get(at)?, b'.' | b'|');
        let start = at + usize::from(marked);
        let list = self.list_at(start)?;
        let before = self.text.get(list.start..start)?;
        let text = name_at(&self.text, start);
        let name = HostName::parse(text).ok()?;
        let scope = match marked || before.ends_with("*.") {
            true => HostScope::Below(name),
            false => HostScope::Exact(Host::Name(name)),
        };
        let pattern = HostPattern { scope, ports: None };
        Some(Rule {
            text: text.into(),
            effect: match self.mark {
                ListMark::Hosts => Effect::Host(list.action, pattern),
                ListMark::Bypass => Effect::BypassHost(pattern),
            },
            origin: Origin::File {
                source: list.source.clone(),
                at: word_position(before),
            },
        })
    }
}

/// Where the word starts that `before` ends in.
fn word_position(before: &str) -> Position {
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let in_line = before.get(line_start..).unwrap_or("");
    let word_start = in_line
        .rfind(|c: char| c.is_ascii_whitespace())
        .map_or(0, |at| at + 1);
    let column = in_line.get(..word_start).unwrap_or("").chars().count() + 1;
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    Position {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
    }
}

/// The rules of one name, most specific first.
enum Level<'t> {
    One(Option<View<'t>>),
    Many(std::slice::Iter<'t, HostSlot>, Scope),
}

impl<'t> Level<'t> {
    const NONE: Self = Self::One(None);

    #[inline]
    fn of(slots: Option<&'t [HostSlot]>, scope: Scope) -> Self {
        match slots {
            Some(slots) => Self::Many(slots.iter(), scope),
            None => Self::NONE,
        }
    }
}

impl<'t> Iterator for Level<'t> {
    type Item = View<'t>;

    #[inline]
    fn next(&mut self) -> Option<View<'t>> {
        match self {
            Self::One(view) => view.take(),
            Self::Many(slots, scope) => slots.next().map(|slot| slot.view(*scope)),
        }
    }
}

/// The rule that decides, and whether rules about some requests come before it.
type Decided<'t> = (Option<View<'t>>, bool);

/// What has been decided, once more specific rules have spoken.
#[inline]
fn settle<'t>(before: Decided<'t>, level: Level<'t>, port: Port) -> Decided<'t> {
    let mut by_request = false;
    for view in level {
        if !view.covers(port) {
            continue;
        }
        by_request |= view.request.is_some();
        // A block of some requests leaves the others to the next rule.
        if view.request.is_none() || view.action.is_allow() {
            return (Some(view), by_request);
        }
    }
    (before.0, before.1 || by_request)
}

/// The canonical name that starts at `offset`.
pub(super) fn name_at(text: &str, offset: usize) -> &str {
    let rest = text.get(offset..).unwrap_or("");
    let end = rest.bytes().position(|byte| !in_name(byte));
    rest.get(..end.unwrap_or(rest.len())).unwrap_or("")
}

/// Whether a byte can stand in a canonical name.
fn in_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
}
