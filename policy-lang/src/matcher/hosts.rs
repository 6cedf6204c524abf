//! Host rules by host.

use super::{
    buckets::{Buckets, Entry},
    filter::Filter,
    level::{Level, Listed},
    listed::ListTable,
    slot::{HostSlot, Scope, View},
    suffix::Key,
};
use crate::{Action, Host, HostPattern, HostScope, Port, Rule, RuleId, Tier, rule_id::ListMark};
use std::{borrow::Cow, collections::HashMap, net::IpAddr, ops::ControlFlow};

/// The labels of the deepest name: 253 bytes of one-byte labels and dots.
const MOST_LABELS: usize = 127;
/// All rules about hosts.
///
/// Names stand in tables under the hash of the whole name: one table for names with rules of their own, one
/// for each list. A lookup goes from the last two labels to longer suffixes as long as there are rules about
/// such, so most names that no rule is about cost one access to memory a table.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    /// The bits that mark the identifiers of this table's listed rules.
    pub(super) mark: ListMark,
    pub(super) key: Key,
    /// Whether there are rules about names of one label, such as `localhost` or `*.com`.
    pub(super) single_labels: bool,
    /// What is neither the name of a place nor above one.
    pub(super) filter: Filter,
    /// From names to `places`.
    pub(super) names: Buckets,
    pub(super) places: Vec<Place>,
    pub(super) lists: Vec<List>,
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

/// A list, and the first of the identifiers that are its own.
#[derive(Debug)]
pub(super) struct List {
    pub(super) start: u32,
    pub(super) table: ListTable,
}

/// What has been decided.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Decided {
    /// The rule, its verdict and how specific it is.
    pub(crate) by: Option<(RuleId, Action, Tier)>,
    /// Whether rules about some requests come before it.
    pub(crate) by_request: bool,
}

impl HostTable {
    /// The rule that decides about `host` and `port`.
    ///
    /// COST: no allocation; one line of a table for each label that rules reach down to, and the bytes of the
    /// names that are listed.
    #[inline]
    pub(crate) fn decide(&self, host: &Host, port: Port) -> Decided {
        let mut decided = match host {
            Host::Name(name) => self.decide_name(name.as_str().as_bytes(), port),
            Host::Addr(addr) => Decided::default().or(self.addr(addr), port),
        };
        if decided.by.is_none() && !self.any.is_empty() {
            decided = decided.or(self.any(), port);
        }
        decided
    }

    /// From the shortest suffix to the longest that there may be rules about: each one that settles the matter
    /// is more specific than those before it.
    #[inline]
    fn decide_name(&self, name: &[u8], port: Port) -> Decided {
        let mut decided = Decided::default();
        let mut single = true;
        let _ = self.key.suffixes(name, |start, hash| {
            let first = std::mem::take(&mut single);
            if first && !self.single_labels {
                return ControlFlow::Continue(());
            }
            let suffix = name.get(start..).unwrap_or_default();
            let longer = self.decide_suffix(suffix, hash, start == 0, port, &mut decided);
            // Of suffixes of one label it is not noted what is below them.
            match longer || first {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        decided
    }

    /// Lets the rules about one suffix speak; says whether there may be rules about longer ones.
    #[inline]
    fn decide_suffix(
        &self,
        suffix: &[u8],
        hash: u64,
        exact: bool,
        port: Port,
        decided: &mut Decided,
    ) -> bool {
        let mut longer = false;
        let mut listed = Listed::default();
        for list in &self.lists {
            let glance = list.table.names.glance(hash);
            longer |= glance.longer;
            if glance.maybe
                && let Some(id) = list.table.find(hash, suffix, exact)
            {
                let rule = RuleId::listed(self.mark, list.start + id);
                listed.add(list.table.action, rule);
            }
        }
        if self.filter.may_have(hash) {
            longer = true;
            if let Some(place) = self.place(suffix, hash) {
                let level = Level::new(place.slots(exact), listed, Scope::of_name(exact));
                *decided = Decided::default().or(level, port).before(*decided);
                return true;
            }
        }
        if let Some((rule, action)) = listed.first() {
            *decided = Decided {
                by: Some((rule, action, Scope::of_name(exact).tier(None))),
                by_request: false,
            };
        }
        longer
    }

    /// What lists say about `name` itself (`exact`), or about all below it.
    #[inline]
    fn listed_at(&self, name: &[u8], hash: u64, exact: bool) -> Listed {
        let mut listed = Listed::default();
        for list in &self.lists {
            if let Some(id) = list.table.find(hash, name, exact) {
                let rule = RuleId::listed(self.mark, list.start + id);
                listed.add(list.table.action, rule);
            }
        }
        listed
    }

    /// The rules of a place about its name itself (`exact`) or about all below it, and those of lists.
    fn level<'t>(&'t self, place: &'t Place, name: &[u8], hash: u64, exact: bool) -> Level<'t> {
        let listed = self.listed_at(name, hash, exact);
        Level::new(place.slots(exact), listed, Scope::of_name(exact))
    }

    /// The rules about `name`, whether it has a place or not.
    fn level_of(&self, name: &[u8], hash: u64, exact: bool) -> Level<'_> {
        match self.place(name, hash) {
            Some(place) => self.level(place, name, hash, exact),
            None => {
                let listed = self.listed_at(name, hash, exact);
                Level::new(&[], listed, Scope::of_name(exact))
            }
        }
    }

    #[inline]
    fn place(&self, name: &[u8], hash: u64) -> Option<&Place> {
        if !self.filter.may_have(hash) {
            return None;
        }
        let place = |entry: Entry| self.places.get(entry.value() as usize);
        let is_it = |entry| place(entry).is_some_and(|place| place.name.as_bytes() == name);
        let (entry, _) = self.names.find(hash, is_it)?;
        place(entry)
    }

    /// Every rule about `host`, whatever its port, most specific first. The order of DESIGN §4.
    pub(crate) fn about<'t>(&'t self, host: &Host) -> impl Iterator<Item = View<'t>> + use<'t> {
        self.exact(host)
            .chain(self.below(host.clone()))
            .chain(self.any())
    }

    /// The rules about exactly `host`.
    pub(crate) fn exact<'t>(&'t self, host: &Host) -> impl Iterator<Item = View<'t>> + use<'t> {
        match host {
            Host::Name(name) => self.of_name(name.as_str(), true),
            Host::Addr(addr) => self.addr(addr),
        }
    }

    /// Wildcards that cover `host`, longest first.
    fn below<'t>(&'t self, host: Host) -> impl Iterator<Item = View<'t>> + use<'t> {
        let mut parents = [(0, 0); MOST_LABELS];
        let mut count = 0;
        if let Host::Name(name) = &host {
            let _ = self.key.suffixes(name.as_str().as_bytes(), |start, hash| {
                if start > 0
                    && let Some(parent) = parents.get_mut(count)
                {
                    *parent = (start, hash);
                    count += 1;
                }
                ControlFlow::Continue(())
            });
        }
        let parents = parents.into_iter().take(count).rev();
        parents.flat_map(move |(start, hash)| {
            let name = match &host {
                Host::Name(name) => name.as_str().as_bytes(),
                Host::Addr(_) => &[],
            };
            self.level_of(name.get(start..).unwrap_or_default(), hash, false)
        })
    }

    fn any(&self) -> Level<'_> {
        Level::new(&self.any, Listed::default(), Scope::Any)
    }

    fn addr(&self, addr: &IpAddr) -> Level<'_> {
        let slots = self.addrs.get(addr).map_or(&[][..], Vec::as_slice);
        Level::new(slots, Listed::default(), Scope::Exact)
    }

    /// The rules about exactly this scope, most specific first.
    pub(crate) fn at(&self, scope: &HostScope) -> impl Iterator<Item = View<'_>> + use<'_> {
        match scope {
            HostScope::Exact(Host::Name(name)) => self.of_name(name.as_str(), true),
            HostScope::Exact(Host::Addr(addr)) => self.addr(addr),
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
        let wilder = host.map(|host| self.below(host).chain(self.any()));
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
        let name = name.as_bytes();
        self.level_of(name, self.key.hash(name), exact)
    }

    /// How many names the lists have, each list counted for itself.
    pub(crate) fn listed_names(&self) -> usize {
        let tables = self.lists.iter().map(|list| &list.table);
        tables.map(|table| table.names.entries()).sum()
    }

    /// The texts of the lists, and what each does.
    pub(crate) fn list_texts(&self) -> impl Iterator<Item = (Action, Cow<'_, str>)> {
        let tables = self.lists.iter().map(|list| &list.table);
        tables.map(|table| (table.action, table.text()))
    }

    /// The listed rule that an identifier names, as if it stood alone.
    pub(crate) fn listed(&self, id: u32) -> Option<Rule> {
        let after = self.lists.partition_point(|list| list.start <= id);
        let list = self.lists.get(after.checked_sub(1)?)?;
        list.table.rule(id - list.start, self.mark)
    }
}

impl Place {
    #[inline]
    fn slots(&self, exact: bool) -> &[HostSlot] {
        match exact {
            true => &self.exact,
            false => &self.below,
        }
    }
}

impl Decided {
    /// What rules say that come after those that spoke.
    fn or(mut self, level: Level<'_>, port: Port) -> Self {
        for view in level {
            if !view.covers(port) {
                continue;
            }
            self.by_request |= view.request.is_some();
            // A block of some requests leaves the others to the next rule.
            if view.request.is_none() || view.action.is_allow() {
                self.by = Some((view.rule, view.action, view.tier));
                break;
            }
        }
        self
    }

    /// What counts where `later` would have been asked next.
    fn before(self, later: Self) -> Self {
        match self.by {
            Some(_) => self,
            None => Self {
                by: later.by,
                by_request: self.by_request || later.by_request,
            },
        }
    }
}
