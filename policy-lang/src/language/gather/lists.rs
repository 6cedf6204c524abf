//! What list files say.

use super::{FileKind, Gatherer, Place, Source};
use crate::{
    Origin, Position, RuleId,
    language::{
        Problem,
        ast::{RuleItem, Verb},
        list::{self, ListEntry, Meaning},
    },
    matcher::{Kind, ListTable, ListedName},
    suffix::is_public_suffix,
    warning::{Warning, WarningKind},
};

/// Entries of a list that are no patterns are warned about up to this number.
const LIST_WARNINGS: usize = 20;

impl Gatherer<'_, '_> {
    /// Adds the rules of a list file.
    pub(super) fn list(&mut self, rule: &RuleItem, name: &str, place: &Place<'_>) {
        let source = match (self.loader)(FileKind::List, name, place.source) {
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
        let names = self.names(rule, &source);
        let lists = match rule.verb {
            Verb::Allow | Verb::Block => &mut self.model.lists,
            Verb::Bypass => &mut self.model.bypass_lists,
        };
        lists.push(ListTable::new(
            self.model.key,
            rule.verb.action(),
            source.name,
            source.text,
            &names,
        ));
    }

    /// The canonical names of a list; what else it holds becomes rules and warnings.
    fn names(&mut self, rule: &RuleItem, source: &Source) -> Vec<ListedName> {
        let mut names = Vec::new();
        let mut bad = 0;
        list::each_entry(&source.text, |entry| {
            let text = || entry.text.into();
            match &entry.meaning {
                Meaning::Name(name) => {
                    let listed = name.of(&source.text);
                    if let Some(kind) = broad(rule.verb, listed, name.kind, entry.text) {
                        self.warn_of_list(source, &entry, kind);
                    }
                    names.push(*name);
                }
                Meaning::Patterns(patterns) => {
                    for pattern in patterns {
                        let at = position(&source.text, &entry);
                        let source = source.name.clone();
                        self.push(rule, pattern, text(), Origin::File { source, at });
                    }
                }
                Meaning::Bad => {
                    bad += 1;
                    if bad <= LIST_WARNINGS {
                        let kind = WarningKind::BadListEntry { text: text() };
                        self.warn_of_list(source, &entry, kind);
                    }
                }
            }
        });
        if bad > LIST_WARNINGS {
            let count = bad - LIST_WARNINGS;
            self.warnings.push(Warning {
                source_name: source.name.clone(),
                at: Position::START,
                kind: WarningKind::MoreBadListEntries { count },
            });
        }
        names
    }

    fn warn_of_list(&mut self, source: &Source, entry: &ListEntry<'_>, kind: WarningKind) {
        self.warnings.push(Warning {
            source_name: source.name.clone(),
            at: position(&source.text, entry),
            kind,
        });
    }
}

/// What is wrong with a listed name and all below it. A block may be as broad as it likes but for a whole
/// top-level domain, which is rather a slip.
fn broad(verb: Verb, name: &str, kind: Kind, text: &str) -> Option<WarningKind> {
    let text = || text.into();
    match (kind, name.contains('.'), verb) {
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
