//! Docker's `sbx policy`: the commands that make a policy, or the table that `sbx policy ls` prints.
//!
//! Format: <https://docs.docker.com/reference/cli/sbx/policy/> and
//! <https://docs.docker.com/ai/sandboxes/governance/concepts/>. Every denial wins; `*.d` covers one level and `**.d`
//! every depth; what is not allowed is denied.

use super::draft::Draft;
use crate::{Action, HostPattern, Net, PathPattern, RequestPattern, language::method};

/// Whether a line is the head of the table.
pub(super) fn is_table(line: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().collect();
    words.contains(&"DECISION") && words.contains(&"RESOURCES")
}

pub(super) fn read(text: &str) -> Draft {
    let mut draft = Draft::default();
    draft.otherwise(Action::Deny);
    let mut columns: Option<Columns> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if is_table(line) {
            columns = Columns::of(line);
        } else if let Some(columns) = &columns {
            columns.row(&mut draft, line, number);
        } else {
            command(&mut draft, trimmed, number);
        }
    }
    draft.denials_win();
    draft
}

/// Where the columns of the table start, in characters.
struct Columns {
    decision: usize,
    resources: usize,
    kind: Option<usize>,
    status: Option<usize>,
}

impl Columns {
    fn of(head: &str) -> Option<Self> {
        Some(Self {
            decision: head.find("DECISION")?,
            resources: head.find("RESOURCES")?,
            kind: head.find("TYPE"),
            status: head.find("STATUS"),
        })
    }

    fn row(&self, draft: &mut Draft, line: &str, number: usize) {
        let word = |at: usize| {
            let rest = line.get(at..).unwrap_or("");
            rest.split_whitespace()
                .next()
                .unwrap_or("")
                .to_ascii_lowercase()
        };
        if self.kind.is_some_and(|at| !word(at).starts_with("net")) {
            return draft.note(number, line, "is not a rule about the network");
        }
        if self.status.is_some_and(|at| word(at) == "inactive") {
            return draft.note(number, line, "is not active");
        }
        let action = match word(self.decision).as_str() {
            "allow" => Action::Allow,
            "deny" => Action::Deny,
            _ => return draft.note(number, line, "has no decision"),
        };
        let resources = line.get(self.resources..).unwrap_or("");
        for resource in resources.split([',', ' ']).filter(|r| !r.is_empty()) {
            rule(draft, action, resource, number, line);
        }
    }
}

/// `sbx policy allow network [FLAGS] RES[,RES…]`, and `sbx policy init|set-default NAME`.
fn command(draft: &mut Draft, line: &str, number: usize) {
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'']).to_owned())
        .collect();
    let after = words
        .iter()
        .position(|word| word == "policy")
        .map(|at| at + 1);
    let words = after.and_then(|at| words.get(at..)).unwrap_or_default();
    let mut words = words.iter().map(String::as_str);
    match (words.next(), words.next()) {
        (Some("init" | "set-default"), Some(name)) => match name {
            "allow-all" => draft.otherwise(Action::Allow),
            "deny-all" => draft.otherwise(Action::Deny),
            _ => draft.note(
                number,
                line,
                "the rules that come with it are Docker's; list them with `sbx policy ls`",
            ),
        },
        (Some(verb @ ("allow" | "deny")), Some("network")) => {
            let action = if verb == "allow" {
                Action::Allow
            } else {
                Action::Deny
            };
            network(draft, action, words, number, line);
        }
        _ => draft.note(number, line, "is no command that makes a network rule"),
    }
}

fn network<'w>(
    draft: &mut Draft,
    action: Action,
    mut words: impl Iterator<Item = &'w str>,
    number: usize,
    line: &str,
) {
    let (mut methods, mut path, mut resources) = (None, None, Vec::new());
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with('-') => (flag, Some(value)),
            _ => (word, None),
        };
        match flag {
            "--method" => methods = value.or_else(|| words.next()),
            "--path" => path = value.or_else(|| words.next()),
            "--protocol" => {
                if value.or_else(|| words.next()) != Some("tcp") {
                    return draft.note(number, line, "UDP does not go through the proxy");
                }
            }
            "--sandbox" => {
                let _ = value.or_else(|| words.next());
                draft.note(
                    number,
                    line,
                    "is for one sandbox; import the rules of each on their own",
                );
            }
            "-g" | "--global" => {}
            flag if flag.starts_with('-') => {
                return draft.note(number, line, &format!("flag `{flag}` is unknown"));
            }
            list => resources.extend(list.split(',').filter(|r| !r.is_empty())),
        }
    }
    let methods = methods.filter(|methods| *methods != "ANY");
    for resource in resources {
        match (methods, path) {
            (None, None) => rule(draft, action, resource, number, line),
            _ => request(draft, action, resource, (methods, path), number, line),
        }
    }
}

fn rule(draft: &mut Draft, action: Action, resource: &str, number: usize, line: &str) {
    if resource.contains('/') {
        return match (Net::parse(resource), action) {
            (Ok(net), Action::Deny) => draft.net(Action::Deny, net),
            (Ok(net), Action::Allow) if net.prefix_len() == 0 => {
                draft.host(Action::Allow, "*", number, line);
            }
            (Ok(_), Action::Allow) => draft.note(
                number,
                line,
                "names are allowed here, not the networks they lead to; write the addresses that are meant",
            ),
            (Err(error), _) => draft.note(number, line, &error.to_string()),
        };
    }
    let pattern = pattern(draft, resource, number, line);
    draft.host(action, &pattern, number, line);
}

/// `**.d` is our `*.d`; `**` our `*`.
fn pattern(draft: &mut Draft, resource: &str, number: usize, line: &str) -> String {
    if let Some(rest) = resource.strip_prefix("**") {
        return format!("*{rest}");
    }
    if resource.starts_with("*.") {
        draft.note(
            number,
            line,
            "`*.` covered one level; here it covers every depth",
        );
    }
    resource.to_owned()
}

/// A rule about methods and paths.
fn request(
    draft: &mut Draft,
    action: Action,
    resource: &str,
    (methods, path): (Option<&str>, Option<&str>),
    number: usize,
    line: &str,
) {
    let text = pattern(draft, resource, number, line);
    let pattern = match HostPattern::parse(&text) {
        Ok(pattern) => pattern,
        Err(error) => return draft.note(number, line, &error.to_string()),
    };
    let methods: Result<Vec<_>, _> = methods
        .into_iter()
        .flat_map(|methods| methods.split(','))
        .map(method)
        .collect();
    let path = path.map(PathPattern::parse).transpose();
    match (methods, path) {
        (Ok(methods), Ok(path)) => {
            let request = RequestPattern { methods, path };
            draft.request(action, pattern, request, number, line);
        }
        (Err(error), _) => draft.note(number, line, &error.to_string()),
        (_, Err(error)) => draft.note(number, line, &error.to_string()),
    }
}
