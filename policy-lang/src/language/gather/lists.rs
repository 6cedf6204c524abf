//! What list files say.

use std::sync::Arc;

use super::{FileKind, Gatherer, Place, Source};
use crate::{
    Origin, Position, RuleId,
    language::{
        Problem,
        ast::{RuleItem, Verb},
        list::{self, ListEntry, Meaning},
        remarks::{Remark, Remarks},
    },
    matcher::{Draft, Image, Key, Kind, ListTable, ListedName, WORTH},
    saved::SavedList,
    suffix::{is_public_suffix, is_top_level_domain},
    warning::{Warning, WarningKind},
};

/// Entries of a list that are no patterns are warned about up to this number.
const LIST_WARNINGS: usize = 20;

impl Gatherer<'_, '_> {
    /// Adds the rules of a list file.
    pub(super) fn list(&mut self, rule: &RuleItem, name: &str, place: &Place<'_>) {
        if let Some(table) = self.saved(rule, name, place) {
            return self.model.lists.push(table);
        }
        let source = match self.loader.load(FileKind::List, name, place.source) {
            Ok(source) => source,
            Err(reason) => {
                let (name, reason) = (name.into(), reason.into());
                let problem = Problem::Unreadable { name, reason };
                return self.errors.push(place.error(rule.subject.span, problem));
            }
        };
        self.list_bytes += source.text.len() + 1;
        if self.list_bytes > RuleId::LIST_BYTES {
            let (name, reason) = (
                name.into(),
                "all lists together have more than 512 MiB".into(),
            );
            let problem = Problem::Unreadable { name, reason };
            return self.errors.push(place.error(rule.subject.span, problem));
        }
        let mut names = Vec::new();
        let mut remarks = Remarks::default();
        list::each_entry(&source.text, |entry| match entry.meaning {
            Meaning::Name(name) => {
                names.push(name);
                if odd(rule.verb, name.of(&source.text), name.kind, entry.text).is_some() {
                    remarks.add(entry.text, position(&source.text, &entry));
                }
            }
            Meaning::Patterns(_) | Meaning::Bad => {
                remarks.add(entry.text, position(&source.text, &entry));
            }
        });
        self.remarks(rule, &source.name, &remarks);
        let saved = self.save(rule, name, place, &source, &names, &remarks);
        let lists = match rule.verb {
            Verb::Allow | Verb::Block => &mut self.model.lists,
            Verb::Bypass => &mut self.model.bypass_lists,
        };
        lists.push(saved.unwrap_or_else(|| {
            let (key, action) = (self.model.key, rule.verb.action());
            ListTable::new(key, action, source.name, source.text, &names)
        }));
    }

    /// The list as it was saved, if it has not changed since and blocks: only that may be decided without its text.
    fn saved(&mut self, rule: &RuleItem, name: &str, place: &Place<'_>) -> Option<ListTable> {
        let store = blocks(rule).then(|| self.loader.store()).flatten()?;
        let saved = store.find(name, place.source)?;
        let (image, remarks) = read(self.model.key, &saved)?;
        self.list_bytes += image.text_bytes() + 1;
        if self.list_bytes > RuleId::LIST_BYTES {
            // Said by who reads the list.
            self.list_bytes -= image.text_bytes() + 1;
            return None;
        }
        self.remarks(rule, &saved.name, &remarks);
        Some(ListTable::blocked(saved.name, image))
    }

    /// Saves a long list that blocks, and gives it back as it was saved.
    fn save(
        &mut self,
        rule: &RuleItem,
        name: &str,
        place: &Place<'_>,
        source: &Source,
        names: &[ListedName],
        remarks: &Remarks,
    ) -> Option<ListTable> {
        let worth = blocks(rule) && source.text.len() >= WORTH && remarks.len() < names.len() / 2;
        let store = worth.then(|| self.loader.store()).flatten()?;
        let key = self.model.key;
        let bytes = remarks.to_bytes();
        let draft = Draft::new(key, &source.text, names, &bytes);
        let saved = store.save(name, place.source, &|stamp, out| draft.write(stamp, out))?;
        let (image, _) = read(key, &saved)?;
        Some(ListTable::blocked(source.name.clone(), image))
    }

    /// What else a list holds becomes rules and warnings.
    fn remarks(&mut self, rule: &RuleItem, source: &Arc<str>, remarks: &Remarks) {
        let mut bad = 0;
        for Remark { text, at } in remarks.iter() {
            let origin = || Origin::File {
                source: source.clone(),
                at,
            };
            let warning = match list::meaning(text, 0) {
                Meaning::Name(name) => odd(rule.verb, name.of(text), name.kind, text),
                Meaning::Patterns(patterns) => {
                    for pattern in &patterns {
                        self.push(rule, pattern, text.into(), origin());
                    }
                    None
                }
                Meaning::Bad => {
                    bad += 1;
                    let text = text.into();
                    (bad <= LIST_WARNINGS).then_some(WarningKind::BadListEntry { text })
                }
            };
            self.warnings.extend(warning.map(|kind| Warning {
                source_name: source.clone(),
                at,
                kind,
            }));
        }
        if bad > LIST_WARNINGS {
            let count = bad - LIST_WARNINGS;
            self.warnings.push(Warning {
                source_name: source.clone(),
                at: Position::START,
                kind: WarningKind::MoreBadListEntries { count },
            });
        }
    }
}

/// Whether a rule blocks whatever it is about.
fn blocks(rule: &RuleItem) -> bool {
    rule.verb == Verb::Block
}

/// An image, if it is one of the list as it is now.
fn read(key: Key, saved: &SavedList) -> Option<(Image, Remarks)> {
    let mut image = Image::read(key, &saved.stamp, saved.image.clone()).ok()?;
    let remarks = Remarks::of_bytes(&std::mem::take(&mut image.remarks))?;
    Some((image, remarks))
}

/// What is odd about a listed name. A block may be as broad as it likes but for a whole top-level domain, which is
/// rather a slip.
fn odd(verb: Verb, name: &str, kind: Kind, text: &str) -> Option<WarningKind> {
    let text = || text.into();
    match (kind, name.contains('.'), verb) {
        (Kind::Exact, false, _) if is_top_level_domain(name) => {
            Some(WarningKind::BareTopLevel { text: text() })
        }
        (Kind::Exact, _, _) => None,
        (_, false, _) => Some(WarningKind::ListedTopLevel { text: text() }),
        (_, true, Verb::Allow | Verb::Bypass) if is_public_suffix(name) => {
            Some(WarningKind::ListedPublicSuffix { text: text() })
        }
        _ => None,
    }
}

/// Where a word of a list stands.
fn position(text: &str, entry: &ListEntry<'_>) -> Position {
    let before = text.get(..entry.offset).unwrap_or("");
    let in_line = before.rsplit('\n').next().unwrap_or("").chars().count();
    Position {
        line: entry.line,
        column: u32::try_from(in_line + 1).unwrap_or(u32::MAX),
    }
}
