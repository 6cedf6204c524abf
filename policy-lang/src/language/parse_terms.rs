//! From text to limits, budgets and credentials.

use super::{
    Problem,
    ast::{Span, Spanned},
    cursor::{Cursor, Read},
    parse::{keyword, pattern, string, unexpected},
    terms::*,
    token,
};
use crate::PathPattern;

pub(super) fn limit(cursor: &mut Cursor<'_>) -> Read<LimitItem> {
    let pattern = pattern(cursor)?;
    let rate = rate(cursor)?;
    match rate.burst.is_none().then(|| cursor.next(token::word)) {
        Some(Some(word)) => unexpected(word, "`burst`", &["burst"]),
        _ => Ok(LimitItem { pattern, rate }),
    }
}

/// `20/s`, or `20/s burst 40`.
fn rate(cursor: &mut Cursor<'_>) -> Read<Rate> {
    let mut rate = cursor
        .word("a rate such as `20/s`")?
        .check(plain_rate)?
        .value;
    if cursor.peek() == Some("burst") {
        cursor.next(token::word);
        rate.burst = Some(cursor.word("a number")?.check(number)?.value);
    }
    Ok(rate)
}

fn plain_rate(text: &str) -> Result<Rate, Problem> {
    let bad = || Problem::BadRate { text: text.into() };
    let (count, unit) = text.split_once('/').ok_or_else(bad)?;
    Ok(Rate {
        requests: number(count).map_err(|_| bad())?,
        per: self::unit(unit).ok_or_else(bad)?,
        burst: None,
    })
}

fn unit(text: &str) -> Option<Unit> {
    Some(match text {
        "s" => Unit::Second,
        "m" => Unit::Minute,
        "h" => Unit::Hour,
        "d" => Unit::Day,
        _ => return None,
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

pub(super) fn budget(cursor: &mut Cursor<'_>) -> Read<BudgetItem> {
    let pattern = pattern(cursor)?;
    let first = cursor.word("a budget such as `50MB/d` or `20 names/h`")?;
    let allowance = match first.value.bytes().all(|b| b.is_ascii_digit()) {
        true => Allowance::Names {
            count: first.check(number)?.value,
            per: cursor
                .word("`names/h`")?
                .check(|word| {
                    let per = word.strip_prefix("names/").and_then(unit);
                    per.ok_or_else(|| Problem::BadBudget { text: word.into() })
                })?
                .value,
        },
        false => Allowance::Bytes(bytes(cursor, first)?),
    };
    Ok(BudgetItem { pattern, allowance })
}

/// `50MB/d`, or `5MB/d up`.
fn bytes(cursor: &mut Cursor<'_>, first: Spanned<&str>) -> Read<ByteBudget> {
    let (bytes, per) = first.check(plain_bytes)?.value;
    let way = match cursor.peek() {
        Some("up") => Way::Up,
        Some("down") => Way::Down,
        _ => Way::Both,
    };
    if way != Way::Both {
        cursor.next(token::word);
    }
    Ok(ByteBudget { bytes, per, way })
}

fn plain_bytes(text: &str) -> Result<(u64, Unit), Problem> {
    let bad = || Problem::BadBudget { text: text.into() };
    let (size, per) = text.split_once('/').ok_or_else(bad)?;
    let digits = size.bytes().take_while(u8::is_ascii_digit).count();
    let (count, name) = size.split_at_checked(digits).ok_or_else(bad)?;
    let known = SIZES.iter().find(|(known, _)| *known == name);
    let count = number(count).map_err(|_| bad())?;
    let bytes = known.and_then(|(_, size)| size.checked_mul(count.into()));
    Ok((bytes.ok_or_else(bad)?, unit(per).ok_or_else(bad)?))
}

pub(super) fn inject(cursor: &mut Cursor<'_>) -> Read<InjectItem> {
    let pattern = pattern(cursor)?;
    let place = place(cursor)?;
    keyword(cursor, "from", "`from`")?;
    let mut credential = Credential {
        place,
        from: source(cursor)?,
        format: None,
        path: None,
        limit: None,
        budget: None,
    };
    while clause(cursor, &mut credential)? {}
    Ok(InjectItem {
        pattern,
        credential,
    })
}

/// `header`, `query "name"` or `form "name"`. A header may be called `query`: what follows it is no string.
fn place(cursor: &mut Cursor<'_>) -> Read<Placement> {
    let word = cursor.word("the name of a header")?;
    if matches!(word.value, "query" | "form")
        && let Some(name) = cursor.next(token::quoted)
    {
        let name = name.check(parameter)?.value;
        return Ok(match word.value {
            "query" => Placement::Query(name),
            _ => Placement::Form(name),
        });
    }
    Ok(Placement::Header(word.check(header)?.value))
}

fn source(cursor: &mut Cursor<'_>) -> Read<SecretSource> {
    const SOURCES: [&str; 5] = ["env", "file", "command", "keyring", "oauth"];
    const WANTED: &str = "`env`, `file`, `command`, `keyring` or `oauth`";
    let source = cursor.word(WANTED)?;
    Ok(match source.value {
        "env" => SecretSource::Env(cursor.word("the name of a variable")?.value.into()),
        "file" => SecretSource::File(string(cursor, "the name of a file in quotes")?),
        "command" => SecretSource::Command(string(cursor, "a command in quotes")?),
        "keyring" => SecretSource::Keyring(string(cursor, "the name of an entry in quotes")?),
        "oauth" => SecretSource::OAuth(string(cursor, "the name of a file in quotes")?),
        _ => return unexpected(source, WANTED, &SOURCES),
    })
}

/// One of the clauses after the source, each at most once. False at the end of the line.
fn clause(cursor: &mut Cursor<'_>, credential: &mut Credential) -> Read<bool> {
    const CLAUSES: [&str; 4] = ["as", "on", "limit", "budget"];
    let Some(word) = cursor.next(token::word) else {
        return Ok(false);
    };
    let Some(&clause) = CLAUSES.iter().find(|clause| **clause == word.value) else {
        return unexpected(word, "`as`, `on`, `limit` or `budget`", &CLAUSES);
    };
    let twice = match clause {
        "as" => credential.format.replace(quoted_format(cursor)?).is_some(),
        "on" => {
            let path = cursor.word("a path")?.check(PathPattern::parse)?;
            credential.path.replace(path.value).is_some()
        }
        "limit" => credential.limit.replace(rate(cursor)?).is_some(),
        _ => {
            let first = cursor.word("a budget such as `50MB/d`")?;
            credential.budget.replace(bytes(cursor, first)?).is_some()
        }
    };
    if twice {
        return word.fail(|_| Problem::Twice { clause });
    }
    Ok(true)
}

fn quoted_format(cursor: &mut Cursor<'_>) -> Read<Box<str>> {
    let start = cursor.offset();
    let value = string(cursor, "a format in quotes")?;
    let end = cursor.offset();
    let span = Span { start, end };
    Ok(Spanned { value, span }.check(format)?.value)
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

/// A name that is the same with and without percent-encoding (RFC 3986 §2.3).
fn parameter(text: String) -> Result<Box<str>, Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    match !text.is_empty() && text.bytes().all(plain) {
        true => Ok(text.into()),
        false => Err(Problem::BadParameter { text: text.into() }),
    }
}

fn format(text: Box<str>) -> Result<Box<str>, Problem> {
    match text.matches("%s").count() == 1 && !text.chars().any(char::is_control) {
        true => Ok(text),
        false => Err(Problem::BadFormat { text }),
    }
}
