//! What several statements are made of, read.

use super::{
    Problem,
    cursor::{Cursor, Read},
    span::Spanned,
    token,
    value::{file_name, nearest, plain_text},
};
use crate::HostPattern;

pub(super) fn file(cursor: &mut Cursor<'_>) -> Read<Spanned<Box<str>>> {
    string(cursor, "the name of a file in quotes")?.check(|name| file_name(&name))
}

pub(super) fn string(cursor: &mut Cursor<'_>, wanted: &'static str) -> Read<Spanned<Box<str>>> {
    match cursor.next(token::quoted) {
        Some(text) => text.check(|text| plain_text(&text)),
        None => match cursor.peek() {
            Some(word) if !word.starts_with('"') => {
                let word = cursor.word(wanted)?;
                unexpected(word, wanted, &[])
            }
            _ => Err(cursor.missing(wanted)),
        },
    }
}

pub(super) fn pattern(cursor: &mut Cursor<'_>) -> Read<Spanned<HostPattern>> {
    cursor.word("a host")?.check(HostPattern::parse)
}

pub(super) fn keyword(
    cursor: &mut Cursor<'_>,
    wanted: &'static str,
    shown: &'static str,
) -> Read<()> {
    let word = cursor.word(shown)?;
    match word.value == wanted {
        true => Ok(()),
        false => unexpected(word, shown, &[wanted]),
    }
}

pub(super) fn unexpected<T>(
    word: Spanned<&str>,
    wanted: &'static str,
    known: &[&'static str],
) -> Read<T> {
    word.fail(|word| Problem::Unexpected {
        near: nearest(word, known),
        word: word.into(),
        wanted,
    })
}
