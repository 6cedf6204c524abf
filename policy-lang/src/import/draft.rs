//! A policy while it is translated: rules in the order in which the original lets them win.

use super::{Format, Imported, Note};
use crate::{
    Action, HostPattern, HostScope, Net, RequestPattern,
    language::{File, HostText},
};
use std::collections::HashSet;

/// Characters of a line that a note shows.
const SHOWN: usize = 120;
/// Notes kept; a list of a million odd lines needs no million notes.
const MOST_NOTES: usize = 10_000;
/// Rules whose order is looked at, pair by pair.
const MOST_ORDERED: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Draft {
    default: Option<Action>,
    /// Those that win over all after them first.
    rules: Vec<Ranked>,
    nets: Vec<(Action, Net)>,
    /// Rules about some requests.
    requests: Vec<(Ranked, RequestPattern)>,
    /// Lines that are statements already.
    lines: Vec<String>,
    notes: Vec<Note>,
    dropped: usize,
}

#[derive(Debug, Clone)]
struct Ranked {
    action: Action,
    pattern: HostPattern,
    line: usize,
    text: String,
}

impl Draft {
    pub(super) fn otherwise(&mut self, action: Action) {
        self.default = Some(action);
    }

    /// Adds a rule over which every rule added before it wins.
    pub(super) fn rule(&mut self, action: Action, pattern: HostPattern, line: usize, text: &str) {
        let text = shortened(text);
        self.rules.push(Ranked {
            action,
            pattern,
            line,
            text,
        });
    }

    /// The same from text; what is no pattern is noted.
    pub(super) fn host(&mut self, action: Action, pattern: &str, line: usize, text: &str) {
        match HostPattern::parse(pattern) {
            Ok(pattern) => self.rule(action, pattern, line, text),
            Err(error) => self.note(line, text, &error.to_string()),
        }
    }

    /// Adds a name and all below it.
    pub(super) fn domain(&mut self, action: Action, name: &str, line: usize, text: &str) {
        self.host(action, name, line, text);
        if name.parse::<std::net::IpAddr>().is_err() {
            self.host(action, &format!("*.{name}"), line, text);
        }
    }

    /// Adds a rule about some requests.
    pub(super) fn request(
        &mut self,
        action: Action,
        pattern: HostPattern,
        request: RequestPattern,
        line: usize,
        text: &str,
    ) {
        let text = shortened(text);
        let rule = Ranked {
            action,
            pattern,
            line,
            text,
        };
        self.requests.push((rule, request));
    }

    pub(super) fn net(&mut self, action: Action, net: Net) {
        self.nets.push((action, net));
    }

    pub(super) fn line(&mut self, statement: String) {
        self.lines.push(statement);
    }

    pub(super) fn note(&mut self, line: usize, text: &str, reason: &str) {
        if self.notes.len() >= MOST_NOTES {
            self.dropped += 1;
            return;
        }
        self.notes.push(Note {
            line,
            text: shortened(text),
            reason: harmless(reason),
        });
    }

    /// Puts denials before everything, for tools in which any of them wins.
    pub(super) fn denials_win(&mut self) {
        self.rules.sort_by_key(|rule| rule.action.is_allow());
    }

    pub(super) fn finish(mut self, format: Format) -> Imported {
        self.settle();
        self.settle_requests();
        self.note_exact_names();
        let default = self.default.unwrap_or(Action::Deny);
        let mut lines = vec![
            format!("# imported from {format}"),
            format!("default {default}"),
        ];
        let mut seen = HashSet::new();
        for rule in &self.rules {
            let verb = verb(rule.action);
            lines.push(format!("{verb} {}", HostText(&rule.pattern)));
        }
        for (rule, request) in &self.requests {
            let verb = verb(rule.action);
            lines.push(format!("{verb} {} {request}", HostText(&rule.pattern)));
        }
        for (action, net) in &self.nets {
            lines.push(format!("{} net {net}", verb(*action)));
        }
        lines.append(&mut self.lines);
        lines.retain(|line| seen.insert(line.clone()));
        if self.dropped > 0 {
            let reason = format!("{} more could not be translated", self.dropped);
            self.notes.push(Note {
                line: 0,
                text: String::new(),
                reason,
            });
        }
        self.notes.sort_by_key(|note| note.line);
        let text = lines.join("\n") + "\n";
        // Every line is printed from a value, so that it can be read; the fuzz target holds it.
        let file = File::parse(&text, format.name());
        Imported {
            file: file.unwrap_or_else(|_| File::empty(format.name())),
            notes: self.notes,
        }
    }

    /// A rule about requests is more specific than one about hosts. An allowed one goes where a host is denied; a
    /// denied one is written out for every host that is allowed by a more specific rule.
    fn settle_requests(&mut self) {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for (rule, request) in std::mem::take(&mut self.requests) {
            let opposed = self.rules.iter().filter(|other| {
                other.action != rule.action && other.pattern.overlaps(&rule.pattern)
            });
            match rule.action {
                Action::Allow => match opposed.map(|other| other.line).next() {
                    Some(line) => gone.push((rule, line)),
                    None => kept.push((rule, request)),
                },
                Action::Deny => {
                    let written = opposed.filter_map(|other| {
                        let pattern = overlap(&rule.pattern, &other.pattern)?;
                        let rule = Ranked {
                            pattern,
                            ..rule.clone()
                        };
                        Some((rule, request.clone()))
                    });
                    kept.extend(written);
                    kept.push((rule, request));
                }
            }
        }
        for (rule, line) in gone {
            let reason = format!("left out: line {line} denies hosts of it");
            self.note(rule.line, &rule.text, &reason);
        }
        self.requests = kept;
    }

    /// Here an exact name is allowed with every address it has.
    fn note_exact_names(&mut self) {
        let denied = self.nets.iter().any(|(action, _)| !action.is_allow());
        let exact = self.rules.iter().any(|rule| {
            rule.action.is_allow() && matches!(rule.pattern.scope, HostScope::Exact(_))
        });
        if denied && exact {
            let reason = "networks are denied, but a name that is allowed exactly is reached at every address it has";
            self.note(0, "", reason);
        }
    }

    /// Makes the most specific rule the one that the order chose: a later rule that an earlier one covers goes,
    /// and where it is only overlapped, the overlap is written out.
    fn settle(&mut self) {
        let actions: HashSet<_> = self.rules.iter().map(|rule| rule.action).collect();
        if actions.len() < 2 {
            return;
        }
        if self.rules.len() > MOST_ORDERED {
            self.note(0, "", "too many rules to keep their order: a block now wins over an allow only where it is more specific");
            return;
        }
        let mut settled: Vec<Ranked> = Vec::new();
        for rule in std::mem::take(&mut self.rules) {
            let earlier: Vec<_> = settled
                .iter()
                .filter(|other| {
                    other.action != rule.action && other.pattern.overlaps(&rule.pattern)
                })
                .cloned()
                .collect();
            if let Some(winner) = earlier
                .iter()
                .find(|other| covers(&other.pattern, &rule.pattern))
            {
                let reason = format!("left out: line {} wins over it", winner.line);
                self.note(rule.line, &rule.text, &reason);
                continue;
            }
            for winner in earlier {
                if let Some(pattern) = overlap(&winner.pattern, &rule.pattern) {
                    settled.push(Ranked { pattern, ..winner });
                }
            }
            settled.push(rule);
        }
        self.rules = settled;
    }
}

/// Whether all that `inner` is about, `outer` is about as well.
fn covers(outer: &HostPattern, inner: &HostPattern) -> bool {
    let ports = match (outer.ports, inner.ports) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some((a, b)), Some((c, d))) => a <= c && d <= b,
    };
    ports && within(&outer.scope, &inner.scope)
}

fn within(outer: &HostScope, inner: &HostScope) -> bool {
    match (outer, inner) {
        (HostScope::Any, _) => true,
        (HostScope::Exact(outer), HostScope::Exact(inner)) => outer == inner,
        (HostScope::Below(outer), HostScope::Below(inner)) if outer == inner => true,
        (
            HostScope::Below(outer),
            HostScope::Exact(crate::Host::Name(inner)) | HostScope::Below(inner),
        ) => inner.parents().any(|parent| parent == outer.as_str()),
        _ => false,
    }
}

/// What both are about, where the later rule would win by being more specific.
fn overlap(winner: &HostPattern, later: &HostPattern) -> Option<HostPattern> {
    let narrower = within(&winner.scope, &later.scope);
    let ports = match (winner.ports, later.ports) {
        (ports, None) | (None, ports) => ports,
        (Some((a, b)), Some((c, d))) => Some((a.max(c), b.min(d))),
    };
    narrower.then(|| HostPattern {
        scope: later.scope.clone(),
        ports,
    })
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "block",
    }
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(SHOWN).collect()
}

/// Without control characters: what a file holds must not steer the terminal that shows it.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
