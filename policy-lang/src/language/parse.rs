//! From text to statements, with recovery at the end of each.

use super::{
    Error, Problem,
    ast::*,
    cursor::{Cursor, Failure, Read},
    parse_terms,
    span::{Span, Spanned},
    token,
    value::{method, nearest, set_name},
    words::{file, unexpected},
};
use crate::{Action, HostPattern, Net, PathPattern, Target};
use std::sync::Arc;

const STATEMENTS: [&str; 10] = [
    "allow", "block", "bypass", "default", "set", "include", "limit", "budget", "inject", "expect",
];
const SUBJECT: &str = "a host, `net`, `list` or `$set`";

impl File {
    /// Reads a file. Reports every error at once; `source_name` stands in errors and verdicts.
    pub fn parse(text: &str, source_name: &str) -> Result<Self, Vec<Error>> {
        let source: Arc<str> = source_name.into();
        let mut cursor = Cursor::new(text, source.clone());
        let mut lines = Vec::new();
        while !cursor.at_end() {
            let line = line(&mut cursor);
            // One blank line is as good as many, and none is needed before the first.
            let blank = line == Line::default();
            if !(blank && lines.last().is_none_or(|last| *last == Line::default())) {
                lines.push(line);
            }
        }
        if lines.last() == Some(&Line::default()) {
            lines.pop();
        }
        let file = Self {
            source,
            text: text.into(),
            lines,
        };
        if cursor.errors.is_empty() {
            return Ok(file);
        }
        let mut errors = cursor.errors;
        errors.extend(file.errors_alone());
        errors.sort_by_key(|error| error.at);
        Err(errors)
    }
}

/// One line, or the lines of a set. Whatever is wrong with it, the next line starts afresh.
fn line(cursor: &mut Cursor<'_>) -> Line {
    cursor.take(token::space);
    let start = cursor.offset();
    let item = match cursor.peek() {
        None => None,
        Some(_) => match statement(cursor) {
            Ok(item) => {
                let end = cursor.offset();
                let span = Span { start, end };
                Some(Spanned { value: item, span })
            }
            Err(failure) => {
                cursor.report(failure);
                cursor.take(token::rest_of_line);
                return Line::default();
            }
        },
    };
    let comment = cursor
        .next(token::comment)
        .map(|comment| comment.value.into());
    if cursor.next(token::line_end).is_none() {
        trailing(cursor);
    }
    Line { item, comment }
}

fn trailing(cursor: &mut Cursor<'_>) {
    if let Some(text) = cursor.take(token::rest_of_line) {
        let shown = text.value.trim_end();
        let end = text.span.start + shown.len();
        let span = Span { end, ..text.span };
        let text = shown.into();
        let problem = Problem::Trailing { text };
        cursor.report(Failure { span, problem });
    }
}

fn statement(cursor: &mut Cursor<'_>) -> Read<Item> {
    let word = cursor.word("a statement")?;
    match word.value {
        "allow" => rule(cursor, Verb::Allow),
        "block" => rule(cursor, Verb::Block),
        "bypass" => rule(cursor, Verb::Bypass),
        "default" => default(cursor),
        "set" => set(cursor).map(Item::Set),
        "include" => file(cursor).map(|name| Item::Include(name.value)),
        "limit" => parse_terms::limit(cursor).map(Item::Limit),
        "budget" => parse_terms::budget(cursor).map(Item::Budget),
        "inject" => parse_terms::inject(cursor).map(Item::Inject),
        "expect" => expect(cursor).map(Item::Expect),
        _ => word.fail(|word| Problem::UnknownStatement {
            near: nearest(word, &STATEMENTS),
            word: word.into(),
        }),
    }
}

fn default(cursor: &mut Cursor<'_>) -> Read<Item> {
    let word = cursor.word("`allow` or `deny`")?;
    if word.value != "net" {
        return action(word).map(Item::Default);
    }
    let word = cursor.word("`private` or `open`")?;
    match word.value {
        "private" => Ok(Item::DefaultNet(NetDefault::Private)),
        "open" => Ok(Item::DefaultNet(NetDefault::Open)),
        _ => unexpected(word, "`private` or `open`", &["private", "open"]),
    }
}

fn action(word: Spanned<&str>) -> Read<Action> {
    match word.value {
        "allow" => Ok(Action::Allow),
        "deny" => Ok(Action::Deny),
        // The word that rules use is the likeliest slip.
        "block" => word.fail(|word| Problem::Unexpected {
            word: word.into(),
            wanted: "`allow` or `deny`",
            near: Some("deny"),
        }),
        _ => unexpected(word, "`allow` or `deny`", &["allow", "deny"]),
    }
}

fn rule(cursor: &mut Cursor<'_>, verb: Verb) -> Read<Item> {
    let subject = subject(cursor)?;
    let request = request(cursor)?;
    let takes_request =
        matches!(subject.value, Subject::Host(_) | Subject::Set(_)) && verb != Verb::Bypass;
    match request {
        Some(request) if !takes_request => request.fail(|_| Problem::RequestOfWhat),
        request => Ok(Item::Rule(RuleItem {
            verb,
            subject,
            request: request.map(|request| request.value),
        })),
    }
}

fn subject(cursor: &mut Cursor<'_>) -> Read<Spanned<Subject>> {
    let word = cursor.word(SUBJECT)?;
    match word.value {
        "net" => {
            let net = cursor
                .word("a network such as `10.0.0.0/8`")?
                .check(Net::parse)?;
            Ok(net.map(Subject::Net))
        }
        "list" => {
            let start = cursor.offset();
            let name = file(cursor)?.value;
            let end = cursor.offset();
            let span = Span { start, end };
            let value = Subject::List(name);
            Ok(Spanned { value, span })
        }
        text => match text.strip_prefix('$') {
            Some(_) => word
                .check(|text| set_name(text.trim_start_matches('$')))
                .map(|name| name.map(Subject::Set)),
            None => word
                .check(HostPattern::parse)
                .map(|pattern| pattern.map(Subject::Host)),
        },
    }
}

/// Methods, a path, or both.
fn request(cursor: &mut Cursor<'_>) -> Read<Option<Spanned<RequestPattern>>> {
    let Some(first) = cursor.next(token::word) else {
        return Ok(None);
    };
    let span = first.span;
    if first.value.starts_with('/') {
        let path = Some(first.check(PathPattern::parse)?.value);
        let methods = Vec::new();
        let value = RequestPattern { methods, path };
        return Ok(Some(Spanned { value, span }));
    }
    let methods = first
        .value
        .split(',')
        .map(method)
        .collect::<Result<Vec<_>, _>>();
    let mut methods = first.check(|_| methods)?.value;
    methods.sort_unstable();
    methods.dedup();
    let path = match cursor.next(token::word) {
        Some(word) => Some(word.check(PathPattern::parse)?.value),
        None => None,
    };
    let value = RequestPattern { methods, path };
    Ok(Some(Spanned { value, span }))
}

fn set(cursor: &mut Cursor<'_>) -> Read<Set> {
    let name = match cursor.next(token::name) {
        Some(name) => name.check(set_name)?,
        None => return Err(cursor.missing("the name of the set")),
    };
    if cursor.next(|i| token::mark('=', i)).is_none() {
        return Err(cursor.missing("`=`"));
    }
    let Some(open) = cursor.next(|i| token::mark('{', i)) else {
        return Err(cursor.missing("`{`"));
    };
    let mut members = Vec::new();
    let mut comments = Vec::new();
    loop {
        cursor.take(token::gap);
        if let Some(comment) = cursor.take(token::comment) {
            comments.push(comment.value.into());
        } else if cursor.take(|i| token::mark('}', i)).is_some() {
            return Ok(Set {
                name,
                members,
                comments,
            });
        } else if let Some(word) = cursor.take(token::member) {
            let before = std::mem::take(&mut comments);
            cursor.next(|i| token::mark(',', i));
            let after = cursor
                .next(token::comment)
                .map(|comment| comment.value.into());
            match word.check(HostPattern::parse) {
                Ok(pattern) => members.push(Member {
                    before,
                    pattern,
                    after,
                }),
                Err(failure) => cursor.report(failure),
            }
        } else if cursor.take(|i| token::mark(',', i)).is_none() {
            return open.fail(|()| Problem::Unclosed { what: "set" });
        }
    }
}

fn expect(cursor: &mut Cursor<'_>) -> Read<ExpectItem> {
    let action = action(cursor.word("`allow` or `deny`")?)?;
    let first = cursor.word("a URL")?;
    let (method, url) = match first.value.contains("://") {
        true => (None, first),
        false => (Some(first.check(method)?.value), cursor.word("a URL")?),
    };
    let span = url.span;
    let value = url.value.into();
    let target = url.check(Target::from_url)?.value;
    let url = Spanned { value, span };
    Ok(ExpectItem {
        action,
        method,
        url,
        target,
    })
}
