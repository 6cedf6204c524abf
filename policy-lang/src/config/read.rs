//! From the file to the value.

use super::{
    Error, Problem,
    document::{Document, Entry, Key, List, Slot},
    entry::{Entries, ListFile, Request, action, net_key, subject},
    entry_fields::Fields,
    fields::Kind,
    object::{Object, deeper_than, type_name},
};
use crate::{
    Action, HostPattern, Net,
    language::{Member, Set, Span, Spanned, Subject, file_name, set_name},
    position::Lines,
    warning::{Warning, WarningKind},
};
use serde_json::value::RawValue;
use std::{collections::HashMap, hash::Hash, sync::Arc};

/// Ten times a list of a million names.
const MAX_BYTES: usize = 256 << 20;
/// The file's own keys need three; the rest is for keys we do not know.
const MAX_DEPTH: usize = 64;

pub(super) fn document(
    text: &str,
    source: Arc<str>,
) -> Result<(Document, Vec<Warning>), Vec<Error>> {
    let mut reader = Reader {
        text,
        lines: Lines::of(text),
        source,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    let document = reader.read();
    match document {
        Some(document) if reader.errors.is_empty() => Ok((document, reader.warnings)),
        _ => {
            reader.errors.sort_by_key(|error| error.at);
            Err(reader.errors)
        }
    }
}

pub(super) struct Reader<'a> {
    text: &'a str,
    lines: Lines<'a>,
    source: Arc<str>,
    pub(super) errors: Vec<Error>,
    warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Option<Document> {
        self.check_file()?;
        let top = match serde_json::from_str::<&RawValue>(self.text) {
            Ok(top) => top,
            Err(error) => {
                self.syntax_error(&error);
                return None;
            }
        };
        let top = self.object(top, "the file")?;
        let mut document = Document::empty(self.source.clone(), self.text.into());
        for member in top {
            let slot = match Key::TOP
                .into_iter()
                .find(|known| known.name() == member.key)
            {
                Some(known) => {
                    self.known(known, member.value, &mut document);
                    Slot::Known(known)
                }
                None => self.unknown(member, ""),
            };
            document.layout.push(slot);
        }
        if document.policy.is_none() {
            self.warn(0, WarningKind::NoPolicy);
        }
        Some(document)
    }

    fn check_file(&mut self) -> Option<()> {
        let bytes = self.text.len();
        if bytes > MAX_BYTES {
            let limit = MAX_BYTES;
            return self.fail(0, Problem::TooBig { bytes, limit });
        }
        if self.text.starts_with('\u{feff}') {
            return self.fail(0, Problem::ByteOrderMark);
        }
        if let Some(offset) = deeper_than(self.text, MAX_DEPTH) {
            return self.fail(offset, Problem::TooDeep { limit: MAX_DEPTH });
        }
        Some(())
    }

    /// Reads one known key into `document`.
    fn known(&mut self, key: Key, value: &'a RawValue, document: &mut Document) {
        match key {
            Key::Policy => document.policy = self.action(value),
            Key::Network => self.network(value, document),
            Key::Include => document.include = self.list(key, value, |text| Ok(file_name(text)?)),
            Key::Expect => document.expect = self.objects(key, value),
            Key::Comments => document.comments = self.objects(key, value),
            Key::AllowedDomains => document.allowed = self.patterns(key, value),
            Key::BlockedDomains => document.blocked = self.patterns(key, value),
            Key::BypassDomains => document.bypassed = self.patterns(key, value),
            Key::AllowCidr => document.allow_nets = self.nets(key, value),
            Key::BlockCidr => document.block_nets = self.nets(key, value),
            Key::BypassCidr => document.bypass_nets = self.nets(key, value),
            Key::DefaultNet => document.default_net = self.parsed(key.name(), value, net_key),
            Key::Sets => document.sets = self.sets(value),
            Key::Requests => {
                document.requests = self
                    .objects(key, value)
                    .map(|list| unwrapped(list, |r: Request| r.0));
            }
            Key::Lists => {
                document.lists = self
                    .objects(key, value)
                    .map(|list| unwrapped(list, |r: ListFile| r.0));
            }
            Key::Limits => document.limits = self.objects(key, value),
            Key::Budgets => document.budgets = self.objects(key, value),
            Key::Credentials => document.credentials = self.objects(key, value),
        }
    }

    fn network(&mut self, value: &'a RawValue, document: &mut Document) {
        for member in self.object(value, "network").into_iter().flatten() {
            let slot = match Key::NETWORK
                .into_iter()
                .find(|known| known.name() == member.key)
            {
                Some(known) => {
                    self.known(known, member.value, document);
                    Slot::Known(known)
                }
                None => self.unknown(member, "network."),
            };
            document.network_layout.push(slot);
        }
    }

    fn action(&mut self, value: &RawValue) -> Option<Spanned<Action>> {
        self.parsed("policy", value, |text| {
            action(text).ok_or_else(|| Problem::UnknownAction { text: text.into() })
        })
    }

    /// A string with a meaning.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        value: &RawValue,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Spanned<T>> {
        let text = self.string(value, key)?;
        let span = self.span(value);
        match parse(&text) {
            Ok(value) => Some(Spanned { value, span }),
            Err(problem) => self.fail(span.start, problem),
        }
    }

    fn patterns(&mut self, key: Key, value: &'a RawValue) -> List<Subject> {
        let list = self.list(key, value, subject);
        self.note_duplicates(&list);
        list
    }

    fn sets(&mut self, value: &'a RawValue) -> List<Set> {
        let mut sets = Vec::new();
        for member in self.object(value, "sets")? {
            let span = self.span_of_key(&member);
            let name = match set_name(&member.key) {
                Ok(value) => Spanned { value, span },
                Err(problem) => {
                    self.fail::<()>(span.start, problem.into());
                    continue;
                }
            };
            let key = format!("sets.{}", member.key);
            let hosts = self.strings(&key, member.value, |text| Ok(HostPattern::parse(text)?));
            let members = hosts.unwrap_or_default().into_iter().map(|entry| Member {
                before: Vec::new(),
                pattern: Spanned {
                    value: entry.value,
                    span: entry.span,
                },
                after: None,
            });
            sets.push(Entry {
                value: Set {
                    name,
                    members: members.collect(),
                    comments: Vec::new(),
                },
                text: "".into(),
                span,
            });
        }
        Some(sets)
    }

    fn objects<T: Entries>(&mut self, key: Key, value: &'a RawValue) -> List<T> {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
            return self.wrong_type(value, key.name(), "a list of objects");
        };
        let Kind::List(Kind::Object(shape)) = key.kind() else {
            return None;
        };
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            let span = self.span(item);
            if let Some(mut fields) = Fields::open(self, item, key.name(), shape) {
                let value = T::read(&mut fields);
                entries.extend(value.map(|value| Entry {
                    value,
                    text: "".into(),
                    span,
                }));
            }
        }
        Some(entries)
    }

    fn nets(&mut self, key: Key, value: &'a RawValue) -> List<Net> {
        let list = self.list(key, value, |text| Ok(Net::parse(text)?));
        self.note_duplicates(&list);
        for entry in list.iter().flatten() {
            let net = entry.value.to_string();
            let masked = entry
                .text
                .split_once('/')
                .map(|(addr, _)| addr.parse().ok())
                != net
                    .split_once('/')
                    .map(|(addr, _)| addr.parse::<std::net::IpAddr>().ok());
            if entry.text.contains('/') && masked {
                let (text, net) = (entry.text.clone(), net.into());
                self.warn(entry.span.start, WarningKind::HostBits { text, net });
            }
        }
        list
    }

    fn list<T>(
        &mut self,
        key: Key,
        value: &'a RawValue,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> List<T> {
        self.strings(key.name(), value, parse)
    }

    pub(super) fn strings<T>(
        &mut self,
        key: &str,
        value: &'a RawValue,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> List<T> {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
            return self.wrong_type(value, key, "a list of strings");
        };
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            let Some(text) = self.string(item, key) else {
                continue;
            };
            match parse(&text) {
                Ok(value) => entries.push(Entry {
                    value,
                    text: text.into(),
                    span: self.span(item),
                }),
                Err(problem) => {
                    self.fail::<()>(self.offset(item), problem);
                }
            }
        }
        Some(entries)
    }

    fn string(&mut self, value: &RawValue, key: &str) -> Option<String> {
        match serde_json::from_str(value.get()) {
            Ok(text) => Some(text),
            Err(_) => self.wrong_type(value, key, "a string"),
        }
    }

    /// The members of an object, each with the offset of its key.
    pub(super) fn object(&mut self, value: &'a RawValue, key: &str) -> Option<Vec<RawMember<'a>>> {
        let Ok(Object(entries)) = serde_json::from_str(value.get()) else {
            return self.wrong_type(value, key, "an object");
        };
        let mut members: Vec<RawMember<'_>> = Vec::with_capacity(entries.len());
        let mut first_at: HashMap<String, usize> = HashMap::new();
        // Between one value and the next stand a comma, the key and a colon.
        let mut from = self.offset(value);
        for (key, value) in entries {
            let at = self.quote_after(from);
            from = self.offset(value) + value.get().len();
            match first_at.insert(key.clone(), at) {
                Some(first) => {
                    let first = self.lines.position(first);
                    let key = key.into();
                    self.fail::<()>(at, Problem::DuplicateKey { key, first });
                }
                None => members.push(RawMember { key, at, value }),
            }
        }
        Some(members)
    }

    fn quote_after(&self, offset: usize) -> usize {
        let rest = self.text.get(offset..).unwrap_or("");
        offset + rest.find('"').unwrap_or(0)
    }

    fn unknown(&mut self, member: RawMember<'_>, prefix: &str) -> Slot {
        // Editors put `$schema` there to know how to help.
        let schema = prefix.is_empty() && member.key == "$schema";
        if !schema {
            let key = format!("{prefix}{}", member.key).into();
            self.warn(member.at, WarningKind::UnknownKey { key });
        }
        Slot::Unknown(member.key, member.value.to_owned())
    }

    fn note_duplicates<T: Eq + Hash>(&mut self, list: &List<T>) {
        let mut seen = std::collections::HashSet::new();
        for entry in list.iter().flatten() {
            if !seen.insert(&entry.value) {
                let text = entry.text.clone();
                self.warn(entry.span.start, WarningKind::DuplicateEntry { text });
            }
        }
    }

    /// Where a borrowed value starts in the file: serde_json lends slices of its input.
    pub(super) fn offset(&self, value: &RawValue) -> usize {
        (value.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    fn span(&self, value: &RawValue) -> Span {
        let start = self.offset(value);
        let end = start + value.get().len();
        Span { start, end }
    }

    fn span_of_key(&self, member: &RawMember<'_>) -> Span {
        let start = member.at;
        let end = start + member.key.len() + 2;
        Span { start, end }
    }

    pub(super) fn wrong_type<T>(
        &mut self,
        value: &RawValue,
        key: &str,
        wanted: &'static str,
    ) -> Option<T> {
        let problem = Problem::WrongType {
            key: key.into(),
            wanted,
            found: type_name(value.get()),
        };
        self.fail(self.offset(value), problem)
    }

    fn syntax_error(&mut self, error: &serde_json::Error) {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        // serde_json counts bytes, and stays on the last one when the input ends.
        let offset = match error.is_eof() {
            true => self.text.len(),
            false => self.lines.start_of(error.line()) + error.column().saturating_sub(1),
        };
        let message = message.replace("EOF while", "the file ends while").into();
        self.fail::<()>(offset, Problem::Syntax { message });
    }

    pub(super) fn fail<T>(&mut self, offset: usize, problem: Problem) -> Option<T> {
        self.errors.push(Error {
            source_name: self.source.clone(),
            at: self.lines.position(offset),
            chars: 0,
            problem,
        });
        None
    }

    fn warn(&mut self, offset: usize, kind: WarningKind) {
        self.warnings.push(Warning {
            source_name: self.source.clone(),
            at: self.lines.position(offset),
            kind,
        });
    }
}

fn unwrapped<T, U>(list: Vec<Entry<T>>, inner: impl Fn(T) -> U) -> Vec<Entry<U>> {
    let entries = list.into_iter().map(|entry| Entry {
        value: inner(entry.value),
        text: entry.text,
        span: entry.span,
    });
    entries.collect()
}

/// A key and its value in the file.
pub(super) struct RawMember<'a> {
    pub(super) key: String,
    pub(super) at: usize,
    pub(super) value: &'a RawValue,
}
