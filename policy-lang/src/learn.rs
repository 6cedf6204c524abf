//! From what was used to a policy that admits it, for a person to review.

mod hosts;
mod paths;

use crate::{
    Action, HostPattern, LocalAddrs, Policy, Record, RequestPattern,
    language::{File, Item, Loader, Subject, Verb},
};
use std::collections::BTreeSet;

/// How far a policy may go beyond what was seen.
#[derive(Debug, Clone, Copy)]
pub struct LearnOptions {
    /// So many names directly below one become a wildcard; 0 for never. A public suffix never does.
    pub wildcard_from: usize,
    /// Whether methods and paths are learnt.
    pub paths: bool,
}

impl Default for LearnOptions {
    fn default() -> Self {
        Self {
            wildcard_from: 5,
            paths: true,
        }
    }
}

/// A learnt policy.
#[derive(Debug)]
pub struct Learnt {
    /// It.
    pub file: File,
    /// Requests that were allowed once and that the current policy blocks by name. They are not learnt.
    pub blocked: Vec<Record>,
}

/// A rule that allows what was used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    pattern: HostPattern,
    request: Option<RequestPattern>,
}

/// The smallest readable policy that admits every allowed record, built on the current one: its blocks, networks,
/// bypasses, limits, credentials and tests stay, its allow rules give way to what was used.
pub fn learn(
    records: &[Record],
    current: &File,
    loader: &mut Loader<'_>,
    options: LearnOptions,
) -> Learnt {
    let policy = current.compile(loader).ok().map(|(policy, _)| policy);
    let blocks = |record: &Record| {
        policy
            .as_ref()
            .is_some_and(|policy| blocked(policy, record))
    };
    let allowed = records.iter().filter(|record| record.allowed);
    let (blocked, used): (Vec<_>, Vec<_>) = allowed.cloned().partition(blocks);
    let learn = |options| compose(current, &hosts::rules(&used, options));
    let mut file = learn(options);
    // A bypass of the current policy and a rule about paths may not stand together.
    if options.paths && file.compile(loader).is_err() {
        file = learn(LearnOptions {
            paths: false,
            ..options
        });
    }
    Learnt { file, blocked }
}

/// Whether a rule that blocks hosts or requests decides about a record.
fn blocked(policy: &Policy, record: &Record) -> bool {
    let (action, reason) = policy.replay(record, &LocalAddrs::default());
    let rule = reason.rule().and_then(|id| policy.rule_at(id));
    let of_host = rule.is_some_and(|rule| {
        matches!(
            rule.effect,
            crate::Effect::Host(Action::Deny, _) | crate::Effect::Request(Action::Deny, ..)
        )
    });
    action == Action::Deny && of_host
}

/// The current file with the learnt rules in place of its own that allow hosts.
fn compose(current: &File, rules: &[Rule]) -> File {
    let mut new: BTreeSet<String> = rules.iter().map(Rule::to_string).collect();
    let mut lines = Vec::new();
    let mut defaulted = false;
    for line in &current.lines {
        let Some(item) = &line.item else {
            lines.push(comment(line.comment.as_deref()));
            continue;
        };
        let text = match &item.value {
            Item::Default(_) if defaulted => continue,
            Item::Default(_) => {
                defaulted = true;
                "default deny".to_owned()
            }
            Item::Rule(rule)
                if rule.verb == Verb::Allow && !matches!(rule.subject.value, Subject::Net(_)) =>
            {
                let text = item.value.to_string();
                if !new.remove(&text) {
                    continue;
                }
                text
            }
            item => item.to_string(),
        };
        let comment = comment(line.comment.as_deref());
        lines.push(match comment.is_empty() {
            true => text,
            false => format!("{text} {comment}"),
        });
    }
    if !defaulted {
        lines.insert(0, "default deny".to_owned());
    }
    lines.extend(new);
    let text = without_idle_sets(lines.join("\n") + "\n", current);
    // What is printed can be read: the round-trip tests hold it.
    File::parse(&text, &current.source).unwrap_or_else(|_| current.clone())
}

fn comment(text: Option<&str>) -> String {
    match text {
        None => String::new(),
        Some("") => "#".to_owned(),
        Some(text) => format!("# {text}"),
    }
}

/// Sets that nothing uses any more go.
fn without_idle_sets(text: String, current: &File) -> String {
    let Ok(mut file) = File::parse(&text, &current.source) else {
        return text;
    };
    let used: BTreeSet<Box<str>> = file
        .lines
        .iter()
        .filter_map(|line| match &line.item.as_ref()?.value {
            Item::Rule(rule) => match &rule.subject.value {
                Subject::Set(name) => Some(name.clone()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    file.lines
        .retain(|line| match line.item.as_ref().map(|item| &item.value) {
            Some(Item::Set(set)) => used.contains(&set.name.value),
            _ => true,
        });
    file.to_string()
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "allow {}", crate::language::HostText(&self.pattern))?;
        match &self.request {
            Some(request) => write!(f, " {request}"),
            None => Ok(()),
        }
    }
}
