//! From text to limits, budgets and credentials.

use super::{
    Problem,
    cursor::{Cursor, Read},
    span::Spanned,
    terms::*,
    token,
    value::env_name,
    words::{file, keyword, pattern, string, unexpected},
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
pub(super) fn rate(cursor: &mut Cursor<'_>) -> Read<Rate> {
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
    let allowance = allowance(cursor)?;
    Ok(BudgetItem { pattern, allowance })
}

fn allowance(cursor: &mut Cursor<'_>) -> Read<Allowance> {
    let first = cursor.word("a budget such as `50MB/d` or `20 names/h`")?;
    Ok(match first.value.bytes().all(|b| b.is_ascii_digit()) {
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
    })
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
        let name = name.check(|name| parameter(&name))?.value;
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
        "env" => SecretSource::Env(
            cursor
                .word("the name of a variable")?
                .check(env_name)?
                .value,
        ),
        "file" => SecretSource::File(file(cursor)?.value),
        "command" => SecretSource::Command(string(cursor, "a command in quotes")?.value),
        "keyring" => SecretSource::Keyring(string(cursor, "the name of an entry in quotes")?.value),
        "oauth" => SecretSource::OAuth(file(cursor)?.value),
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
    let text = string(cursor, "a format in quotes")?;
    Ok(text.check(|text| format(&text))?.value)
}

/// A header name (RFC 9110 §5.1) that neither frames the message nor names its destination.
pub(crate) fn header(text: &str) -> Result<Box<str>, Problem> {
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
    match !name.is_empty() && name.bytes().all(plain) && !FRAMING.contains(&name.as_str()) {
        true => Ok(name.into()),
        false => Err(Problem::BadHeader { text: text.into() }),
    }
}

/// A name that is the same with and without percent-encoding (RFC 3986 §2.3).
pub(crate) fn parameter(text: &str) -> Result<Box<str>, Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    match !text.is_empty() && text.bytes().all(plain) {
        true => Ok(text.into()),
        false => Err(Problem::BadParameter { text: text.into() }),
    }
}

/// A longer value with `%s` where the secret goes.
pub(crate) fn format(text: &str) -> Result<Box<str>, Problem> {
    match text.matches("%s").count() == 1 && !text.chars().any(char::is_control) {
        true => Ok(text.into()),
        false => Err(Problem::BadFormat { text: text.into() }),
    }
}

/// A rate as one text: `20/s burst 40`.
pub(crate) fn rate_text(text: &str) -> Result<Rate, Problem> {
    whole(text, rate)
}

/// A budget as one text: `50MB/d up`, `20 names/h`.
pub(crate) fn allowance_text(text: &str) -> Result<Allowance, Problem> {
    whole(text, allowance)
}

/// A budget of bytes as one text.
pub(crate) fn bytes_text(text: &str) -> Result<ByteBudget, Problem> {
    whole(text, |cursor| {
        let first = cursor.word("a budget such as `50MB/d`")?;
        bytes(cursor, first)
    })
}

/// A text that is one term of a statement and nothing else.
fn whole<T>(text: &str, parse: impl FnOnce(&mut Cursor<'_>) -> Read<T>) -> Result<T, Problem> {
    let mut cursor = Cursor::new(text, "".into());
    let value = parse(&mut cursor).map_err(|failure| failure.problem)?;
    match cursor.next(token::rest_of_line) {
        Some(rest) if !rest.value.is_empty() => Err(Problem::Trailing {
            text: rest.value.into(),
        }),
        _ => Ok(value),
    }
}
