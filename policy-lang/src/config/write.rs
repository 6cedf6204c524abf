//! From the value back to the file.

use super::document::{Document, Key, List, Slot};
use serde_json::{Value, value::RawValue, value::to_raw_value};
use std::fmt;

/// Two spaces a level, a list's entries on lines of their own, unknown values exactly as they were.
pub(super) fn document(document: &Document, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    object(f, "", &document.layout, |f, key| match key {
        Key::Network => object(f, "  ", &document.network_layout, |f, key| {
            value(document, key, "    ", f)
        }),
        key => value(document, key, "  ", f),
    })?;
    f.write_str("\n")
}

fn value(document: &Document, key: Key, indent: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match key {
        Key::Policy => string(f, &document.policy().to_string()),
        Key::Include => list(f, indent, &document.include),
        Key::AllowedDomains => list(f, indent, &document.allowed),
        Key::BlockedDomains => list(f, indent, &document.blocked),
        Key::BypassDomains => list(f, indent, &document.bypassed),
        Key::AllowCidr => list(f, indent, &document.allow_nets),
        Key::BlockCidr => list(f, indent, &document.block_nets),
        Key::BypassCidr => list(f, indent, &document.bypass_nets),
        Key::Network => Ok(()),
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
