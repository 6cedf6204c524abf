//! Classes of hosts.

use crate::{
    Effect, Host, HostName, HostPattern, HostScope, Policy, embedded, language::listed_patterns,
};
use std::{
    collections::{BTreeSet, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// One host of each class that the rules of either policy tell apart.
///
/// A name that no rule names is in the class of the longest name above it whose rule is about what is below, so
/// beside every such name a fresh one directly below it stands for all the others below it.
pub(super) fn classes(before: &Policy, after: &Policy, addrs: &[IpAddr]) -> Vec<Host> {
    let mut names: Vec<HostName> = Vec::new();
    let mut above: Vec<HostName> = Vec::new();
    let mut literals: BTreeSet<IpAddr> = addrs.iter().copied().collect();
    let scopes = patterns(before).chain(patterns(after)).map(|p| p.scope);
    for scope in scopes.chain(listed(before, after).map(|p| p.scope)) {
        match scope {
            HostScope::Exact(Host::Name(name)) => names.push(name),
            HostScope::Below(name) => {
                above.push(name.clone());
                names.push(name);
            }
            HostScope::Exact(Host::Addr(addr)) => literals.extend(around(addr)),
            HostScope::Any => {}
        }
    }
    // COST: a million listed names sort in a second, and take several in a tree.
    for names in [&mut names, &mut above] {
        names.sort_unstable();
        names.dedup();
    }
    let below = above.iter().filter_map(|name| fresh_below(name, &names));
    let fresh: Vec<_> = below.chain(fresh_elsewhere(&names)).collect();
    let names = fresh.into_iter().chain(names).map(Host::Name);
    let fresh = [
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77)),
    ];
    literals.extend(fresh);
    names.chain(literals.into_iter().map(Host::Addr)).collect()
}

/// An address, and addresses in which it is embedded: a block of it blocks them.
fn around(addr: IpAddr) -> impl Iterator<Item = IpAddr> {
    let inner = match addr {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    let embedding = inner.into_iter().flat_map(embedded::forms);
    std::iter::once(addr).chain(embedding.map(IpAddr::V6))
}

fn patterns(policy: &Policy) -> impl Iterator<Item = HostPattern> {
    let rules = policy.rules().iter().filter_map(|rule| match &rule.effect {
        Effect::Host(_, pattern) | Effect::Request(_, pattern, _) | Effect::BypassHost(pattern) => {
            Some(pattern.clone())
        }
        Effect::Net(..) | Effect::BypassNet(_) => None,
    });
    rules.chain(policy.term_patterns().cloned())
}

/// What stands in the list files of one policy and not in those of the other.
fn listed(before: &Policy, after: &Policy) -> impl Iterator<Item = HostPattern> {
    let [first, second] = [before, after].map(|policy| policy.list_texts().collect::<Vec<_>>());
    let apart = |lists: &[(char, String)], others: &[(char, String)]| -> Vec<HostPattern> {
        let same: HashSet<_> = others.iter().collect();
        let changed = lists.iter().filter(|list| !same.contains(list));
        let known: HashSet<(char, &str)> = others
            .iter()
            .flat_map(|(kind, text)| text.lines().map(|line| (*kind, line)))
            .collect();
        changed
            .flat_map(|(kind, text)| {
                let lines = text.lines().filter(|line| !known.contains(&(*kind, *line)));
                lines.flat_map(listed_patterns).collect::<Vec<_>>()
            })
            .collect()
    };
    let found = [apart(&first, &second), apart(&second, &first)];
    found.into_iter().flatten()
}

/// A name directly below `name` that no rule names; `taken` is sorted.
fn fresh_below(name: &HostName, taken: &[HostName]) -> Option<HostName> {
    let labels = (0..).map(|n| match n {
        0 => "any".to_owned(),
        n => format!("any-{n}"),
    });
    labels
        .take(taken.len() + 1)
        .filter_map(|label| HostName::parse(&format!("{label}.{name}")).ok())
        .find(|fresh| taken.binary_search(fresh).is_err())
}

/// A name that lies below none that a rule names.
fn fresh_elsewhere(taken: &[HostName]) -> Option<HostName> {
    let tops = ["example", "invalid", "test"].map(str::to_owned);
    let tops = tops
        .into_iter()
        .chain((0..).map(|n| format!("nowhere-{n}")));
    let free = |name: &HostName| taken.binary_search(name).is_err();
    let clear = |fresh: &HostName| {
        let mut parents = fresh.parents();
        free(fresh) && parents.all(|parent| HostName::parse(parent).is_ok_and(|name| free(&name)))
    };
    tops.take(taken.len() + 4)
        .filter_map(|top| HostName::parse(&format!("elsewhere.{top}")).ok())
        .find(clear)
}
