//! Hosts files and Adblock filter lists: what they name is blocked, everything else allowed.
//!
//! Formats: hosts(5); <https://adblockplus.org/filter-cheatsheet> for `||name^` and `@@||name^`.

use super::draft::Draft;
use crate::{Action, language::listed_patterns};

pub(super) fn read(text: &str) -> Draft {
    let mut draft = Draft::default();
    draft.otherwise(Action::Allow);
    // An exception wins over every block.
    for (number, line) in numbered(text) {
        if let Some(filter) = line.strip_prefix("@@") {
            name(&mut draft, Action::Allow, filter, number, line);
        }
    }
    for (number, line) in numbered(text) {
        match line {
            line if line.starts_with("@@") => {}
            line if line.contains("##") || line.contains("#@#") || line.contains("#?#") => {
                draft.note(
                    number,
                    line,
                    "hides parts of pages; the proxy does not change pages",
                );
            }
            line if line.starts_with('|') || line.contains(['$', '^', '*', '/']) => {
                name(&mut draft, Action::Deny, line, number, line);
            }
            line => plain(&mut draft, line, number),
        }
    }
    draft
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['!', '[', '#']))
}

/// A filter that names a domain: `||name^`.
fn name(draft: &mut Draft, action: Action, filter: &str, number: usize, line: &str) {
    let (filter, options) = match filter.split_once('$') {
        Some((filter, options)) => (filter, Some(options)),
        None => (filter, None),
    };
    let plain_options = ["important", "all", "document", "third-party,important"];
    if let Some(options) = options.filter(|options| !plain_options.contains(options)) {
        let reason = format!("depends on `{options}`, which a proxy does not see");
        return draft.note(number, line, &reason);
    }
    let Some(name) = filter.strip_prefix("||") else {
        return draft.note(number, line, "is a pattern over URLs, not a domain");
    };
    let name = name.trim_end_matches('|').trim_end_matches('^');
    match name.contains(['/', '*', '^', '|', ':']) {
        true => draft.note(number, line, "is a pattern over URLs, not a domain"),
        false => draft.domain(action, name, number, line),
    }
}

/// A line of a hosts file, or a name by itself.
fn plain(draft: &mut Draft, line: &str, number: usize) {
    let words = line.split('#').next().unwrap_or("").split_whitespace();
    let words: Vec<_> = words.collect();
    let patterns = listed_patterns(line);
    let addr = words
        .first()
        .is_some_and(|word| word.parse::<std::net::IpAddr>().is_ok());
    let named = words.len() - usize::from(addr && words.len() > 1);
    if addr && words.len() > 1 {
        let sink = [
            "0.0.0.0",
            "127.0.0.1",
            "::",
            "::1",
            "255.255.255.255",
            "fe80::1%lo0",
        ];
        if words.first().is_some_and(|word| !sink.contains(word)) {
            return draft.note(
                number,
                line,
                "gives a name an address; the proxy asks the name server",
            );
        }
    } else if patterns.len() < named {
        draft.note(number, line, "is not a host pattern");
    }
    for pattern in patterns {
        draft.rule(Action::Deny, pattern, number, line);
    }
}
