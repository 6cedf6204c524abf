//! Names of policies and of clients.

use std::fmt;
use std::str::FromStr;

/// Longest name. A name is also a file's, and a user's in `Proxy-Authorization`.
const MAX: usize = 64;

/// The name of a policy or of a client: letters, digits, `-`, `_` and `.`, and no `.` in front.
///
/// It is part of a path and of a log line, so nothing else gets in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Box<str>);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name: use up to {MAX} letters, digits, `-`, `_` and `.`, the first no `.`")]
pub struct NameError(String);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let sized = (1..=MAX).contains(&text.len());
        match sized && !text.starts_with('.') && text.bytes().all(good) {
            true => Ok(Self(text.into())),
            false => Err(NameError(text.chars().take(MAX).collect())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let long = "x".repeat(MAX + 1);
        let rows = [
            ("alice", true),
            ("ci-2.main_x", true),
            ("", false),
            (".hidden", false),
            ("..", false),
            ("a/b", false),
            ("a b", false),
            ("a:b", false),
            ("ä", false),
            (&long, false),
        ];
        for (text, good) in rows {
            assert_eq!(text.parse::<Name>().is_ok(), good, "{text}");
        }
    }
}
