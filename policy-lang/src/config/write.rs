//! From the value back to the file.

use super::{
    document::{Document, Key, List, NetKey, Slot},
    entry::{Entries, ListFile, Request},
};
use crate::language::Set;
use serde_json::{Value, value::RawValue, value::to_raw_value};
use std::fmt;

/// Two spaces a level, a list's entries on lines of their own, unknown values exactly as they were.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        object(f, "", &self.layout, |f, key| match key {
            Key::Network => object(f, "  ", &self.network_layout, |f, key| {
                value(self, key, "    ", f)
            }),
            key => value(self, key, "  ", f),
        })?;
        f.write_str("\n")
    }
}

fn value(document: &Document, key: Key, indent: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match key {
        Key::Policy => string(f, &document.policy().to_string()),
        Key::Include => list(f, indent, &document.include),
        Key::Expect => objects(f, indent, &document.expect, Entries::write),
        Key::Comments => objects(f, indent, &document.comments, Entries::write),
        Key::AllowedDomains => list(f, indent, &document.allowed),
        Key::BlockedDomains => list(f, indent, &document.blocked),
        Key::BypassDomains => list(f, indent, &document.bypassed),
        Key::AllowCidr => list(f, indent, &document.allow_nets),
        Key::BlockCidr => list(f, indent, &document.block_nets),
        Key::BypassCidr => list(f, indent, &document.bypass_nets),
        Key::DefaultNet => match &document.default_net {
            Some(key) => string(f, key.value.word()),
            None => string(f, NetKey::Unset.word()),
        },
        Key::Sets => sets(f, indent, &document.sets),
        Key::Requests => objects(f, indent, &document.requests, |rule| {
            Request(rule.clone()).write()
        }),
        Key::Lists => objects(f, indent, &document.lists, |rule| {
            ListFile(rule.clone()).write()
        }),
        Key::Limits => objects(f, indent, &document.limits, Entries::write),
        Key::Budgets => objects(f, indent, &document.budgets, Entries::write),
        Key::Credentials => objects(f, indent, &document.credentials, Entries::write),
        Key::Network => Ok(()),
    }
}

/// Entries that are objects, each on one line.
fn objects<T>(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    list: &List<T>,
    entry: impl Fn(&T) -> Value,
) -> fmt::Result {
    let lines = list.iter().flatten().map(|e| entry(&e.value).to_string());
    block(f, indent, ('[', ']'), lines)
}

fn sets(f: &mut fmt::Formatter<'_>, indent: &str, sets: &List<Set>) -> fmt::Result {
    let lines = sets.iter().flatten().map(|entry| {
        let members = entry.value.members.iter();
        let members: Vec<_> = members.map(|m| m.pattern.value.to_string()).collect();
        let name = Value::from(&*entry.value.name.value);
        format!("{name}: {}", Value::from(members))
    });
    block(f, indent, ('{', '}'), lines)
}

fn block(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    (open, close): (char, char),
    lines: impl Iterator<Item = String>,
) -> fmt::Result {
    let mut empty = true;
    write!(f, "{open}")?;
    for line in lines {
        write!(f, "{}\n{indent}  {line}", if empty { "" } else { "," })?;
        empty = false;
    }
    match empty {
        true => write!(f, "{close}"),
        false => write!(f, "\n{indent}{close}"),
    }
}

fn object(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    slots: &[Slot],
    mut known: impl FnMut(&mut fmt::Formatter<'_>, Key) -> fmt::Result,
) -> fmt::Result {
    if slots.is_empty() {
        return f.write_str("{}");
    }
    f.write_str("{")?;
    for (n, slot) in slots.iter().enumerate() {
        write!(f, "{}\n{indent}  ", if n > 0 { "," } else { "" })?;
        match slot {
            Slot::Known(key) => {
                write!(f, "\"{}\": ", key.name())?;
                known(f, *key)?;
            }
            Slot::Unknown(key, raw) => {
                string(f, key)?;
                write!(f, ": {}", RawValue::get(raw))?;
            }
        }
    }
    write!(f, "\n{indent}}}")
}

fn list<T>(f: &mut fmt::Formatter<'_>, indent: &str, list: &List<T>) -> fmt::Result {
    let entries = list.as_deref().unwrap_or_default();
    if entries.is_empty() {
        return f.write_str("[]");
    }
    f.write_str("[")?;
    for (n, entry) in entries.iter().enumerate() {
        write!(f, "{}\n{indent}  ", if n > 0 { "," } else { "" })?;
        string(f, &entry.text)?;
    }
    write!(f, "\n{indent}]")
}

fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let raw = to_raw_value(&Value::from(text)).map_err(|_| fmt::Error)?;
    f.write_str(raw.get())
}

/// JSON without the space between its tokens.
pub(super) fn compact(raw: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    raw.chars()
        .filter(|c| {
            let keep = in_string || !c.is_ascii_whitespace();
            if in_string {
                in_string = escaped || *c != '"';
                escaped = !escaped && *c == '\\';
            } else {
                in_string = *c == '"';
            }
            keep
        })
        .collect()
}
