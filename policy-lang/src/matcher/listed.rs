//! The names of one list file.

use super::{
    buckets::{Buckets, Entry},
    image::{Image, Rest},
    lines::LineIndex,
    listed_name::{ListedName, in_name},
    suffix::Key,
};
use crate::{
    Action, Effect, Host, HostName, HostPattern, HostScope, Origin, Position, Rule,
    rule_id::ListMark,
};
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, ops::ControlFlow, sync::Arc};

/// The names of one list file, all for every port and every request.
///
/// A name costs no more than its bytes in the file and its entry in the table, which is its offset; from an image,
/// no more than the entry.
#[derive(Debug)]
pub(crate) struct ListTable {
    pub(crate) action: Action,
    /// The file's name.
    pub(crate) source: Arc<str>,
    /// SHA-256 of the text.
    pub(crate) digest: [u8; 32],
    pub(super) names: Buckets,
    /// Whether a name of one label is listed.
    pub(super) single_labels: bool,
    kept: Kept,
}

/// What is kept of a list's text.
#[derive(Debug)]
enum Kept {
    /// All of it: names are compared with it and shown from it, and entries are offsets.
    Text(String, LineIndex),
    /// Nothing: entries are what of a name's hash the table does not say otherwise, and are believed. Only for
    /// lists that block.
    Image(Rest),
}

impl ListTable {
    /// COST: for a million names a third of a second; the text is not copied.
    pub(crate) fn new(
        key: Key,
        action: Action,
        source: Arc<str>,
        mut text: String,
        names: &[ListedName],
    ) -> Self {
        text.shrink_to_fit();
        let lines = LineIndex::of(&text);
        let mut table = Self {
            action,
            source,
            digest: Sha256::digest(&text).into(),
            names: Buckets::for_entries(names.len()),
            single_labels: false,
            kept: Kept::Text(String::new(), LineIndex(Vec::new())),
        };
        for name in names {
            table.add(key, &text, *name);
        }
        table.kept = Kept::Text(text, lines);
        table
    }

    /// The names of a list that blocks.
    pub(crate) fn blocked(source: Arc<str>, image: Image) -> Self {
        Self {
            action: Action::Deny,
            source,
            digest: image.digest,
            names: image.names,
            single_labels: image.single_labels,
            kept: Kept::Image(image.rest),
        }
    }

    fn add(&mut self, key: Key, text: &str, listed: ListedName) {
        let name = listed.of(text).as_bytes();
        let entry = Entry::new(listed.kind, listed.offset);
        let mut labels = 0;
        let _ = key.suffixes(name, |start, hash| {
            labels += 1;
            match (start, labels) {
                (0, _) => {
                    let same = |other: Entry| other.kind() == listed.kind && is(text, other, name);
                    if self.names.find(hash, same).is_none() {
                        self.names.insert(hash, entry);
                    }
                }
                // Lookups start at two labels.
                (_, 1) => {}
                (..) => self.names.mark_longer(hash),
            }
            ControlFlow::Continue(())
        });
        self.single_labels |= labels == 1;
    }

    /// The file.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match &self.kept {
            Kept::Text(text, _) => text.into(),
            Kept::Image(rest) => rest.text().into(),
        }
    }

    /// How many identifiers its rules take.
    pub(super) fn ids(&self) -> usize {
        2 * self.names.slots()
    }

    /// The rule about `name`: about itself (`exact`), or about all below it.
    ///
    /// The identifier is even for a rule about the name itself: one word of a list can stand for both.
    #[inline]
    pub(super) fn find(&self, hash: u64, name: &[u8], exact: bool) -> Option<u32> {
        let (_, slot) = match &self.kept {
            Kept::Text(text, _) => self.names.find(hash, |entry| {
                entry.kind().covers(exact) && is(text, entry, name)
            }),
            Kept::Image(_) => self.names.find(hash, |entry| {
                entry.kind().covers(exact) && entry.value() == Entry::rest(hash)
            }),
        }?;
        Some(2 * slot as u32 + u32::from(!exact))
    }

    /// The rule that an identifier of [`ListTable::find`] names, as if it stood alone.
    pub(super) fn rule(&self, id: u32, mark: ListMark) -> Option<Rule> {
        let (text, at) = self.name(id as usize / 2)?;
        let name = HostName::parse(&text).ok()?;
        let scope = match id % 2 {
            0 => HostScope::Exact(Host::Name(name)),
            _ => HostScope::Below(name),
        };
        let pattern = HostPattern { scope, ports: None };
        Some(Rule {
            text: text.into(),
            effect: match mark {
                ListMark::Hosts => Effect::Host(self.action, pattern),
                ListMark::Bypass => Effect::BypassHost(pattern),
            },
            origin: Origin::File {
                source: self.source.clone(),
                at,
            },
        })
    }

    /// The name in a slot, and where its word stands.
    fn name(&self, slot: usize) -> Option<(Cow<'_, str>, Position)> {
        let entry = self.names.at(slot)?;
        match &self.kept {
            Kept::Text(text, lines) => {
                let start = entry.value() as usize;
                let at = lines.position(text.as_bytes().get(..start)?, 0);
                Some((name_at(text, start).into(), at))
            }
            Kept::Image(rest) => {
                let (name, at) = rest.name(slot, entry)?;
                Some((name.into(), at))
            }
        }
    }
}

/// Whether `entry` is about `name`: the text has it at the offset, and no longer name.
#[inline]
fn is(text: &str, entry: Entry, name: &[u8]) -> bool {
    let at = entry.value() as usize;
    let bytes = text.as_bytes();
    bytes
        .get(at..at + name.len())
        .is_some_and(|listed| same(listed, name))
        && bytes
            .get(at + name.len())
            .is_none_or(|byte| !in_name(*byte))
}

/// Equality of two texts of one length. Names are short, and a call of the library's costs more than the look.
#[inline]
fn same(left: &[u8], right: &[u8]) -> bool {
    match (ends::<8>(left), ends::<8>(right)) {
        // The first eight and the last eight bytes overlap, or meet, or leave what is between to the library.
        (Some(lefts), Some(rights)) if left.len() <= 16 => lefts == rights,
        (Some(_), Some(_)) => match (ends::<16>(left), ends::<16>(right)) {
            (Some(lefts), Some(rights)) if left.len() <= 32 => lefts == rights,
            _ => left == right,
        },
        _ => left == right,
    }
}

/// The first and the last bytes of a text.
#[inline]
fn ends<const N: usize>(text: &[u8]) -> Option<[&[u8; N]; 2]> {
    Some([text.first_chunk()?, text.last_chunk()?])
}

/// The canonical name that starts at `offset`.
fn name_at(text: &str, offset: usize) -> &str {
    let rest = text.get(offset..).unwrap_or("");
    let end = rest.bytes().position(|byte| !in_name(byte));
    rest.get(..end.unwrap_or(rest.len())).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::buckets::Kind;

    /// Texts that differ in one byte, wherever it is.
    #[test]
    fn any_byte_tells_texts_apart() {
        for length in 0..50 {
            let text: Vec<u8> = (b'A'..).take(length).collect();
            assert!(same(&text, &text));
            for at in 0..length {
                let mut other = text.clone();
                other[at] ^= 1;
                assert!(!same(&text, &other), "{at} of {length}");
            }
        }
    }

    #[test]
    fn an_entry_is_about_the_whole_name() {
        let text = "ab.test\nab.test.org";
        let rows = [
            (0, "ab.test", true),
            (0, "ab.tes", false),
            (0, "ac.test", false),
            (1, "b.test", true),
            (8, "ab.test.org", true),
            (8, "ab.test", false),
            (8, "ab.test.org.uk", false),
            (60, "ab.test", false),
        ];
        for (offset, name, expected) in rows {
            let entry = Entry::new(Kind::Exact, offset);
            assert_eq!(is(text, entry, name.as_bytes()), expected, "{name}");
        }
    }
}
