//! From text to statements, with recovery at the end of each.

use super::{
    Error, Problem,
    ast::*,
    cursor::{Cursor, Failure, Read},
    token,
};
use crate::{Action, HostPattern, Net, PathPattern, Target};
use std::sync::Arc;

const STATEMENTS: [&str; 9] = [
    "allow", "block", "bypass", "default", "set", "include", "limit", "inject", "expect",
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
        match cursor.errors.is_empty() {
            true => Ok(Self {
                source,
                text: text.into(),
                lines,
            }),
            false => Err(cursor.errors),
        }
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
        "include" => string(cursor, "the name of a file in quotes").map(Item::Include),
        "limit" => limit(cursor).map(Item::Limit),
        "inject" => inject(cursor).map(Item::Inject),
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
            let name = string(cursor, "the name of a file in quotes")?;
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

/// A method in upper case. RFC 9110 §9.1 has other tokens too; nobody uses them, and lower case is a slip.
fn method(text: &str) -> Result<Box<str>, Problem> {
    let plain = |b: u8| b.is_ascii_uppercase() || b == b'-';
    match !text.is_empty() && text.bytes().all(plain) {
        true => Ok(text.into()),
        false => Err(Problem::BadMethod { text: text.into() }),
    }
}

fn set_name(text: &str) -> Result<Box<str>, Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match !text.is_empty() && text.bytes().all(plain) {
        true => Ok(text.into()),
        false => Err(Problem::BadName { name: text.into() }),
    }
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

fn string(cursor: &mut Cursor<'_>, wanted: &'static str) -> Read<Box<str>> {
    match cursor.next(token::quoted) {
        Some(text) => Ok(text.value.into()),
        None => match cursor.peek() {
            Some(word) if !word.starts_with('"') => {
                let word = cursor.word(wanted)?;
                unexpected(word, wanted, &[])
            }
            _ => Err(cursor.missing(wanted)),
        },
    }
}

fn pattern(cursor: &mut Cursor<'_>) -> Read<Spanned<HostPattern>> {
    cursor.word("a host")?.check(HostPattern::parse)
}

fn limit(cursor: &mut Cursor<'_>) -> Read<LimitItem> {
    let pattern = pattern(cursor)?;
    let mut rate = cursor.word("a rate such as `20/s`")?.check(rate)?.value;
    if let Some(word) = cursor.next(token::word) {
        match word.value {
            "burst" => rate.burst = Some(cursor.word("a number")?.check(number)?.value),
            _ => return unexpected(word, "`burst`", &["burst"]),
        }
    }
    Ok(LimitItem { pattern, rate })
}

fn rate(text: &str) -> Result<Rate, Problem> {
    let bad = || Problem::BadRate { text: text.into() };
    let (count, unit) = text.split_once('/').ok_or_else(bad)?;
    let per = match unit {
        "s" => Unit::Second,
        "m" => Unit::Minute,
        "h" => Unit::Hour,
        _ => return Err(bad()),
    };
    let requests = number(count).map_err(|_| bad())?;
    let burst = None;
    Ok(Rate {
        requests,
        per,
        burst,
    })
}

/// A plain decimal number above zero.
fn number(text: &str) -> Result<u32, Problem> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| Problem::Unexpected {
            word: text.into(),
            wanted: "a number above zero",
            near: None,
        })
}

fn inject(cursor: &mut Cursor<'_>) -> Read<InjectItem> {
    const SOURCES: [&str; 4] = ["env", "file", "command", "keyring"];
    let pattern = pattern(cursor)?;
    let header = cursor.word("the name of a header")?.check(header)?.value;
    keyword(cursor, "from", "`from`")?;
    let source = cursor.word("`env`, `file`, `command` or `keyring`")?;
    let from = match source.value {
        "env" => SecretSource::Env(cursor.word("the name of a variable")?.value.into()),
        "file" => SecretSource::File(string(cursor, "the name of a file in quotes")?),
        "command" => SecretSource::Command(string(cursor, "a command in quotes")?),
        "keyring" => SecretSource::Keyring(string(cursor, "the name of an entry in quotes")?),
        _ => return unexpected(source, "`env`, `file`, `command` or `keyring`", &SOURCES),
    };
    let format = match cursor.peek() {
        Some(_) => {
            keyword(cursor, "as", "`as`")?;
            let start = cursor.offset();
            let value = string(cursor, "a format in quotes")?;
            let end = cursor.offset();
            let span = Span { start, end };
            Some(Spanned { value, span }.check(format)?.value)
        }
        None => None,
    };
    let credential = Credential {
        header,
        from,
        format,
    };
    Ok(InjectItem {
        pattern,
        credential,
    })
}

/// A header name (RFC 9110 §5.1) that neither frames the message nor names its destination.
fn header(text: &str) -> Result<Box<str>, Problem> {
    const FRAMING: [&str; 9] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "proxy-connection",
        "keep-alive",
    ];
    let name = text.to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match name.bytes().all(plain) && !FRAMING.contains(&name.as_str()) {
        true => Ok(name.into()),
        false => Err(Problem::BadHeader { text: text.into() }),
    }
}

fn format(text: Box<str>) -> Result<Box<str>, Problem> {
    match text.matches("%s").count() == 1 && !text.chars().any(char::is_control) {
        true => Ok(text),
        false => Err(Problem::BadFormat { text }),
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

fn keyword(cursor: &mut Cursor<'_>, wanted: &'static str, shown: &'static str) -> Read<()> {
    let word = cursor.word(shown)?;
    match word.value == wanted {
        true => Ok(()),
        false => unexpected(word, shown, &[wanted]),
    }
}

fn unexpected<T>(word: Spanned<&str>, wanted: &'static str, known: &[&'static str]) -> Read<T> {
    word.fail(|word| Problem::Unexpected {
        near: nearest(word, known),
        word: word.into(),
        wanted,
    })
}

/// The known word that one or two slips of the finger away from `word`.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let slips = |known: &str| strsim::damerau_levenshtein(known, &word.to_ascii_lowercase());
    known
        .iter()
        .map(|known| (slips(known), *known))
        .filter(|(slips, known)| *slips <= 2 && *slips < known.len().min(word.len()))
        .min()
        .map(|(_, known)| known)
}
