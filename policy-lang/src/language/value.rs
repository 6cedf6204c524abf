//! The words of statements: what the language and `proxy-config.json` both check.

use super::{Problem, token::is_name};
use crate::{Target, TargetError};

/// A method in upper case. RFC 9110 §9.1 has other tokens too; nobody uses them, and lower case is a slip.
pub(crate) fn method(text: &str) -> Result<Box<str>, Problem> {
    let plain = |b: u8| b.is_ascii_uppercase() || b == b'-';
    match !text.is_empty() && text.bytes().all(plain) {
        true => Ok(text.into()),
        false => Err(Problem::BadMethod { text: text.into() }),
    }
}

/// The name of a set.
pub(crate) fn set_name(text: &str) -> Result<Box<str>, Problem> {
    match is_name(text) {
        true => Ok(text.into()),
        false => Err(Problem::BadName { name: text.into() }),
    }
}

/// The known word that one or two slips of the finger away from `word`.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let slips = |known: &str| strsim::damerau_levenshtein(known, &word.to_ascii_lowercase());
    known
        .iter()
        .map(|known| (slips(known), *known))
        .filter(|(slips, known)| *slips <= 2 && *slips < known.len().min(word.len()))
        .min()
        .map(|(_, known)| known)
}

/// Text that a person can read back: a name or command in quotes.
pub(crate) fn plain_text(text: &str) -> Result<Box<str>, Problem> {
    match text.chars().any(char::is_control) {
        true => Err(Problem::Control { text: text.into() }),
        false => Ok(text.into()),
    }
}

/// The name of a file.
pub(crate) fn file_name(text: &str) -> Result<Box<str>, Problem> {
    match text.is_empty() || text.chars().any(char::is_control) {
        true => Err(Problem::FileName { text: text.into() }),
        false => Ok(text.into()),
    }
}

/// The name of a variable: any word, as the kernel takes any (POSIX.1-2017 §8.1).
pub(crate) fn env_name(text: &str) -> Result<Box<str>, Problem> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '=';
    match text.is_empty() || text.starts_with('#') || text.chars().any(odd) {
        true => Err(Problem::BadVariable { text: text.into() }),
        false => Ok(text.into()),
    }
}

/// The URL of an expectation, which must be one word of the language.
pub(crate) fn url(text: &str) -> Result<Target, Problem> {
    match text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        true => Err(TargetError::Control { text: text.into() }.into()),
        false => Ok(Target::from_url(text)?),
    }
}
