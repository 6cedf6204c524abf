//! One model in two forms: the file as statements of the policy language, and back.

use super::{
    Error,
    comments::{self, Note, Place},
    document::{Document, Entry, Key, List, NetKey, Slot},
    object::Object,
    write::compact,
};
use crate::language::{File, Item, Line, NetDefault, RuleItem, Span, Spanned, Subject, Verb};
use serde_json::value::RawValue;
use std::{fmt::Display, sync::Arc};

/// A comment that holds keys of the JSON form which have no meaning.
const KEPT: &str = "json ";

impl Document {
    /// The same policy in the policy language. Keys that we do not know become comments, from which
    /// [`Document::from_file`] makes keys again.
    ///
    /// ```
    /// use policy_lang::config::Document;
    /// let text = r#"{"policy": "deny", "network": {"allowedDomains": ["a.test"], "blockCIDR": []}}"#;
    /// let (document, _) = Document::parse(text, "proxy-config.json").unwrap();
    /// assert_eq!(document.to_language(), "default deny\ndefault net open\nallow a.test\n");
    /// ```
    pub fn to_language(&self) -> String {
        self.to_file().to_string()
    }

    /// Its statements, each with its place in this file.
    pub(super) fn to_file(&self) -> File {
        let notes = self.comments.iter().flatten().map(|entry| &entry.value);
        let mut lines = comments::put_back(self.items(), notes);
        lines.extend(self.kept().map(|text| Line {
            item: None,
            comment: Some(text.into()),
        }));
        File {
            source: self.source.clone(),
            text: self.text.clone(),
            lines,
        }
    }

    fn items(&self) -> Vec<Spanned<Item>> {
        let mut items = Vec::new();
        items.extend(self.policy.map(|policy| policy.map(Item::Default)));
        items.extend(self.net_default());
        items.extend(spanned(&self.sets, |set| Item::Set(set.clone())));
        for (verb, list) in [
            (Verb::Allow, &self.allowed),
            (Verb::Block, &self.blocked),
            (Verb::Bypass, &self.bypassed),
        ] {
            items.extend(rules(verb, list, Subject::clone));
        }
        items.extend(spanned(&self.requests, |rule| Item::Rule(rule.clone())));
        items.extend(spanned(&self.lists, |rule| Item::Rule(rule.clone())));
        for (verb, list) in [
            (Verb::Allow, &self.allow_nets),
            (Verb::Block, &self.block_nets),
            (Verb::Bypass, &self.bypass_nets),
        ] {
            items.extend(rules(verb, list, |net| Subject::Net(*net)));
        }
        items.extend(spanned(&self.limits, |limit| Item::Limit(limit.clone())));
        items.extend(spanned(&self.budgets, |budget| {
            Item::Budget(budget.clone())
        }));
        items.extend(spanned(&self.credentials, |inject| {
            Item::Inject(inject.clone())
        }));
        items.extend(spanned(&self.include, |name| Item::Include(name.clone())));
        items.extend(spanned(&self.expect, |expect| Item::Expect(expect.clone())));
        items
    }

    /// A file that does not speak of blocks has the documented ones, not none.
    fn net_default(&self) -> Option<Spanned<Item>> {
        let (default, span) = match (&self.default_net, &self.block_nets) {
            (Some(key), _) => match key.value {
                NetKey::Says(default) => (default, key.span),
                NetKey::Unset => return None,
            },
            (None, Some(_)) => (NetDefault::Open, Span::NOWHERE),
            (None, None) => return None,
        };
        let value = Item::DefaultNet(default);
        Some(Spanned { value, span })
    }

    /// The keys that we do not know, a comment each.
    fn kept(&self) -> impl Iterator<Item = String> {
        let top = unknown(&self.layout).map(|(key, raw)| format!("{KEPT}{{{key}:{raw}}}"));
        let network = unknown(&self.network_layout);
        top.chain(network.map(|(key, raw)| format!("{KEPT}{{\"network\":{{{key}:{raw}}}}}")))
    }

    /// The same policy as a `proxy-config.json`. Statements that contradict each other are errors.
    pub fn from_file(file: &File) -> Result<Self, Vec<Error>> {
        let errors = file.contradictions();
        if !errors.is_empty() {
            return Err(errors.into_iter().map(Error::from).collect());
        }
        let mut document = Self::empty(file.source.clone(), Arc::default());
        for item in file.items() {
            document.take(&item.value);
        }
        if document.block_nets.is_some() && document.default_net.is_none() {
            document.default_net = nowhere(NetKey::Unset);
        }
        if says(&document, NetDefault::Open) {
            // That is what a `blockCIDR` by itself says.
            document.default_net = None;
            document.block_nets.get_or_insert_default();
        }
        let mut notes = comments::taken(&file.lines);
        notes.retain(|note| !document.restore(note));
        // Comments stand in the order of the statements they go with, whichever form they come from.
        let ordered = comments::put_back(document.items(), notes.iter());
        for note in comments::taken(&ordered) {
            push(&mut document.comments, note);
        }
        Ok(document.settled())
    }

    fn take(&mut self, item: &Item) {
        match item {
            Item::Default(action) => self.policy = nowhere(*action),
            Item::DefaultNet(default) => self.default_net = nowhere(NetKey::Says(*default)),
            Item::Set(set) => push(&mut self.sets, set.clone()),
            Item::Rule(rule) => self.take_rule(rule),
            Item::Include(name) => push_text(&mut self.include, name.clone(), name),
            Item::Limit(limit) => push(&mut self.limits, limit.clone()),
            Item::Budget(budget) => push(&mut self.budgets, budget.clone()),
            Item::Inject(inject) => push(&mut self.credentials, inject.clone()),
            Item::Expect(expect) => push(&mut self.expect, expect.clone()),
        }
    }

    fn take_rule(&mut self, rule: &RuleItem) {
        let subject = &rule.subject.value;
        let (hosts, nets) = match rule.verb {
            Verb::Allow => (&mut self.allowed, &mut self.allow_nets),
            Verb::Block => (&mut self.blocked, &mut self.block_nets),
            Verb::Bypass => (&mut self.bypassed, &mut self.bypass_nets),
        };
        match subject {
            _ if rule.request.is_some() => push(&mut self.requests, rule.clone()),
            Subject::Host(pattern) => push_text(hosts, subject.clone(), pattern),
            Subject::Set(_) => push_text(hosts, subject.clone(), subject),
            Subject::Net(net) => push_text(nets, *net, net),
            Subject::List(_) => push(&mut self.lists, rule.clone()),
        }
    }

    /// Makes keys of a comment that keeps some.
    fn restore(&mut self, note: &Note) -> bool {
        let json = match note.place {
            Place::After(_) => None,
            Place::Before(_) | Place::End => note.text.strip_prefix(KEPT),
        };
        let Some(Ok(Object(members))) = json.map(serde_json::from_str) else {
            return false;
        };
        let [(key, value)] = members.as_slice() else {
            return false;
        };
        match (
            key.as_str(),
            serde_json::from_str::<Object<'_>>(value.get()),
        ) {
            ("network", Ok(Object(inner))) => match inner.as_slice() {
                [(key, value)] => keep(&mut self.network_layout, &Key::NETWORK, key, value),
                _ => false,
            },
            _ => keep(&mut self.layout, &Key::TOP, key, value),
        }
    }
}

/// Keeps an unknown key, unless it is known or there already.
fn keep(layout: &mut Vec<Slot>, known: &[Key], key: &str, value: &RawValue) -> bool {
    let there = |slot: &Slot| matches!(slot, Slot::Unknown(other, _) if other == key);
    if known.iter().any(|known| known.name() == key) || layout.iter().any(there) {
        return false;
    }
    layout.push(Slot::Unknown(key.to_owned(), value.to_owned()));
    true
}

fn says(document: &Document, default: NetDefault) -> bool {
    document
        .default_net
        .as_ref()
        .is_some_and(|key| key.value == NetKey::Says(default))
}

fn unknown(layout: &[Slot]) -> impl Iterator<Item = (String, String)> {
    layout.iter().filter_map(|slot| match slot {
        Slot::Known(_) => None,
        Slot::Unknown(key, raw) => Some((
            serde_json::Value::from(key.as_str()).to_string(),
            compact(raw.get()),
        )),
    })
}

fn spanned<'l, T>(
    list: &'l List<T>,
    item: impl Fn(&'l T) -> Item,
) -> impl Iterator<Item = Spanned<Item>> {
    list.iter().flatten().map(move |entry| Spanned {
        value: item(&entry.value),
        span: entry.span,
    })
}

fn rules<T>(
    verb: Verb,
    list: &List<T>,
    subject: impl Fn(&T) -> Subject,
) -> impl Iterator<Item = Spanned<Item>> {
    list.iter().flatten().map(move |entry| Spanned {
        value: Item::Rule(RuleItem {
            verb,
            subject: Spanned {
                value: subject(&entry.value),
                span: entry.span,
            },
            request: None,
        }),
        span: entry.span,
    })
}

fn nowhere<T>(value: T) -> Option<Spanned<T>> {
    let span = Span::NOWHERE;
    Some(Spanned { value, span })
}

fn push<T>(list: &mut List<T>, value: T) {
    push_text(list, value, "");
}

fn push_text<T>(list: &mut List<T>, value: T, text: impl Display) {
    list.get_or_insert_default().push(Entry {
        value,
        text: text.to_string().into(),
        span: Span::NOWHERE,
    });
}
