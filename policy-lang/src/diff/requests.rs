//! Classes of ports, methods and paths at one host.

use super::{Asked, Pair, paths};
use crate::{Effect, Host, HostPattern, PathPattern, Policy, Port, RequestPattern, Target};
use std::collections::BTreeSet;

/// Ports that people know, in the order in which a witness prefers them.
const KNOWN: [u16; 3] = [443, 80, 8080];
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

/// One request of each class at `host`.
pub(super) fn of_host(pair: &Pair<'_>, host: &Host) -> Vec<Asked> {
    let rules: Vec<_> = pair
        .both()
        .into_iter()
        .flat_map(|policy| about(policy, host))
        .collect();
    let terms: Vec<_> = pair
        .both()
        .into_iter()
        .flat_map(|policy| policy.term_patterns())
        .filter(|pattern| covers_host(pattern, host))
        .filter_map(|pattern| pattern.ports)
        .collect();
    let mut asked = Vec::new();
    let ports = rules.iter().filter_map(|(pattern, _)| pattern.ports);
    for port in ports_of(ports.chain(terms)) {
        let target = Target::new(host.clone(), port);
        let requests: Vec<_> = rules
            .iter()
            .filter(|(pattern, _)| pattern.covers_port(port))
            .filter_map(|(_, request)| request.as_ref())
            .collect();
        let paths = requests.iter().filter_map(|request| request.path.as_ref());
        let injected = pair
            .both()
            .map(|policy| policy.injections(&target).collect::<Vec<_>>());
        let more = injected.iter().flatten();
        let more = more.filter_map(|injection| injection.credential.path.as_ref());
        let paths: Vec<&PathPattern> = paths.chain(more).collect();
        let paths = match paths.is_empty() {
            true => vec!["/".to_owned()],
            false => paths::classes(&paths),
        };
        for method in methods(&requests) {
            asked.extend(paths.iter().map(|path| Asked {
                target: target.clone(),
                method: method.clone(),
                path: path.clone(),
            }));
        }
    }
    asked
}

/// The rules about a host, whatever the port.
fn about(policy: &Policy, host: &Host) -> Vec<(HostPattern, Option<RequestPattern>)> {
    let about = policy.host_table().about(host);
    let bypasses = policy.bypass_table().about(host);
    about
        .chain(bypasses)
        .filter_map(|slot| {
            let rule = policy.rule_at(slot.rule)?;
            match &rule.effect {
                Effect::Host(_, pattern) | Effect::BypassHost(pattern) => {
                    Some((pattern.clone(), None))
                }
                Effect::Request(_, pattern, request) => {
                    Some((pattern.clone(), Some(request.clone())))
                }
                Effect::Net(..) | Effect::BypassNet(_) => None,
            }
        })
        .collect()
}

fn covers_host(pattern: &HostPattern, host: &Host) -> bool {
    let any = HostPattern {
        scope: pattern.scope.clone(),
        ports: None,
    };
    any.covers(&Target::new(host.clone(), Port::HTTPS))
}

/// One port of each class: known ones where there is a choice.
fn ports_of(ranges: impl Iterator<Item = (Port, Port)>) -> Vec<Port> {
    let mut starts = BTreeSet::from([1_u32, 65_536]);
    for (first, last) in ranges {
        starts.insert(first.get().into());
        starts.insert(u32::from(last.get()) + 1);
    }
    let starts: Vec<_> = starts.into_iter().collect();
    let pairs = starts.iter().zip(starts.iter().skip(1));
    pairs
        .filter_map(|(from, to)| {
            let known = KNOWN
                .into_iter()
                .find(|port| (*from..*to).contains(&u32::from(*port)));
            Port::new(known.or_else(|| u16::try_from(*from).ok())?)
        })
        .collect()
}

/// Every method that a rule names, and one that none names.
fn methods(requests: &[&RequestPattern]) -> Vec<String> {
    let named: BTreeSet<&str> = requests
        .iter()
        .flat_map(|request| request.methods.iter().map(|method| &**method))
        .collect();
    let other = METHODS.into_iter().find(|method| !named.contains(method));
    let mut methods = vec![other.unwrap_or("OTHER").to_owned()];
    methods.extend(named.into_iter().map(str::to_owned));
    methods
}
