//! Which hosts and ports were used.

use super::{LearnOptions, Rule, paths};
use crate::{
    Host, HostName, HostPattern, HostScope, LocalAddrs, Policy, Port, Record, RequestPattern,
    language::{File, no_files},
    registered_domain,
};
use std::collections::{BTreeMap, BTreeSet};

type Used<'r> = BTreeMap<(&'r Host, Port), Vec<&'r Record>>;

/// Rules that admit every record.
pub(super) fn rules(records: &[Record], options: LearnOptions) -> Vec<Rule> {
    let mut used: Used<'_> = BTreeMap::new();
    for record in records {
        let key = (record.target.host(), record.target.port());
        used.entry(key).or_default().push(record);
    }
    let wildcards = wildcards(&used, options);
    let mut rules: BTreeSet<Rule> = BTreeSet::new();
    for ((host, port), records) in &used {
        let below = wildcards.iter().find(|pattern| {
            records
                .iter()
                .all(|record| pattern.covers(&record.target) && open(pattern, record))
        });
        match below {
            Some(pattern) => {
                rules.insert(Rule {
                    pattern: pattern.clone(),
                    request: None,
                });
            }
            None => rules.extend(exact(host, *port, records, options)),
        }
    }
    rules.into_iter().collect()
}

/// One host and port: templates of what was asked for, or all of it where they say no more.
fn exact(host: &Host, port: Port, records: &[&Record], options: LearnOptions) -> Vec<Rule> {
    let pattern = HostPattern {
        scope: HostScope::Exact(host.clone()),
        ports: Some((port, port)),
    };
    let requests: Option<Vec<_>> = records
        .iter()
        .map(|record| record.request.as_ref())
        .collect();
    let templates = requests
        .filter(|_| options.paths)
        .and_then(|requests| paths::templates(&requests));
    let rule = |request: Option<RequestPattern>| Rule {
        pattern: pattern.clone(),
        request,
    };
    match templates {
        Some(templates) => templates.into_iter().map(|t| rule(Some(t))).collect(),
        None => vec![rule(None)],
    }
}

/// Wildcards for names of which many were used: below one that somebody has registered, never below a public
/// suffix.
fn wildcards(used: &Used<'_>, options: LearnOptions) -> Vec<HostPattern> {
    let mut below: BTreeMap<(&str, Port), BTreeSet<&HostName>> = BTreeMap::new();
    for (host, port) in used.keys() {
        if let Host::Name(name) = host
            && let Some((_, parent)) = name.as_str().split_once('.')
            && registered_domain(parent).is_some()
        {
            below.entry((parent, *port)).or_default().insert(name);
        }
    }
    below
        .into_iter()
        .filter(|(_, names)| options.wildcard_from > 0 && names.len() >= options.wildcard_from)
        .filter_map(|((parent, port), _)| {
            let scope = HostScope::Below(HostName::parse(parent).ok()?);
            let ports = Some((port, port));
            Some(HostPattern { scope, ports })
        })
        .collect()
}

/// Whether a wildcard would let a record go to its address: only an exact rule reaches private ones.
fn open(pattern: &HostPattern, record: &Record) -> bool {
    let text = format!("default deny\nallow {pattern}\n");
    let compiled = File::parse(&text, "learnt").and_then(|file| file.compile(&mut no_files));
    let admits = |policy: Policy| {
        let tunnel = Record {
            request: None,
            ..record.clone()
        };
        policy.replay(&tunnel, &LocalAddrs::default()).0.is_allow()
    };
    compiled.is_ok_and(|(policy, _)| admits(policy))
}
