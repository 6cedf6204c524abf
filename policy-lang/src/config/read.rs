//! From the file to the value.

use super::{
    Error, Problem,
    document::{Document, Entry, Key, List, Slot},
    entry::{Entries, ListFile, Request, action, net_key, subject},
    entry_fields::Fields,
    fields::Kind,
    reader::{RawMember, Reader},
};
use crate::{
    Action, HostPattern, Net,
    language::{Member, Set, Spanned, Subject, file_name, set_name},
    warning::{Warning, WarningKind},
};
use serde_json::value::RawValue;
use std::hash::Hash;

impl Document {
    /// Reads a file. Reports every error at once; `source_name` stands in errors and verdicts.
    pub fn parse(text: &str, source_name: &str) -> Result<(Self, Vec<Warning>), Vec<Error>> {
        let mut reader = Reader::new(text, source_name.into());
        let document = reader.read();
        match document {
            Some(document) if reader.errors.is_empty() => Ok((document, reader.warnings)),
            _ => {
                reader.errors.sort_by_key(|error| error.at);
                Err(reader.errors)
            }
        }
    }
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Option<Document> {
        let top = self.whole()?;
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
}

fn unwrapped<T, U>(list: Vec<Entry<T>>, inner: impl Fn(T) -> U) -> Vec<Entry<U>> {
    let entries = list.into_iter().map(|entry| Entry {
        value: inner(entry.value),
        text: entry.text,
        span: entry.span,
    });
    entries.collect()
}
