//! Request paths in canonical form, and patterns over them.

use crate::quote::Quoted;
use std::fmt;

/// The path of a request in the one form that rules are matched against.
///
/// The query is left out; `%41` is `A`; `.` and `..` are resolved, also as `%2e`; `//` is `/`. Two questions
/// have no common answer among servers: whether `%2F` separates segments, and whether `;x` belongs to the
/// segment. Where a path depends on them it has two readings, and both are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath {
    plain: String,
    /// With `%2F` as a separator and without `;x`, where there are any.
    other: Option<String>,
}

impl RequestPath {
    /// Reads the path (and query, which is dropped) of a request target in origin form.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let path = text.get(..end).unwrap_or(text);
        let decoded = decode(path)?;
        let plain = resolve(decoded.split('/'))?;
        let other = match decoded.contains("%2F") || decoded.contains(';') {
            true => Some(other_reading(&decoded)?),
            false => None,
        };
        Ok(Self { plain, other })
    }

    /// The canonical path: what should be sent on, so that the server reads what was judged.
    pub fn as_str(&self) -> &str {
        &self.plain
    }

    /// How a server may read it that takes `%2F` for a separator and cuts `;x` off, where that differs.
    pub(crate) fn other_reading(&self) -> Option<&str> {
        self.other.as_deref()
    }
}

/// Decodes what RFC 3986 §6.2.2 calls equivalent, writes other escapes in upper case, refuses the rest.
fn decode(path: &str) -> Result<String, PathError> {
    let odd = || PathError::Byte { text: path.into() };
    if !path.starts_with('/') {
        return Err(PathError::NoSlash { text: path.into() });
    }
    let mut decoded = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = byte == b'%';
        let byte = match escaped {
            false => byte,
            true => hex(bytes.next())
                .zip(hex(bytes.next()))
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(|| PathError::Escape { text: path.into() })?,
        };
        if byte < 0x20
            || byte == 0x7f
            || byte == b'\\'
            || !escaped && (byte >= 0x80 || byte == b' ')
        {
            return Err(odd());
        }
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match escaped && !unreserved {
            true => decoded.push_str(&format!("%{byte:02X}")),
            false => decoded.push(char::from(byte)),
        }
    }
    Ok(decoded)
}

/// `%2F` as a separator and `;x` cut off. With dot segments as well, the order in which a server does these
/// things would decide where the path leads, so that is refused.
fn other_reading(decoded: &str) -> Result<String, PathError> {
    let split = decoded.replace("%2F", "/");
    let bare = split
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or(segment));
    if bare
        .clone()
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(PathError::Ambiguous {
            text: decoded.into(),
        });
    }
    resolve(bare)
}

fn hex(digit: Option<u8>) -> Option<u8> {
    char::from(digit?)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Removes dot segments (RFC 3986 §5.2.4) and empty segments but a last one.
fn resolve<'a>(segments: impl Iterator<Item = &'a str>) -> Result<String, PathError> {
    let mut kept: Vec<&str> = Vec::new();
    let mut folder = true;
    for segment in segments.skip(1) {
        folder = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop().ok_or(PathError::AboveRoot)?;
            }
            segment => kept.push(segment),
        }
    }
    let mut path = String::from("/");
    path.push_str(&kept.join("/"));
    if folder && !kept.is_empty() {
        path.push('/');
    }
    Ok(path)
}

/// `/a/b`, `/a/*/c` (one segment) or `/a/**` (everything below `/a/`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    segments: Vec<Segment>,
}

/// A segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Segment {
    Literal(Box<str>),
    One,
    Rest,
}

impl PathPattern {
    /// Reads a pattern. Literal segments must be in canonical form already, so that none can never match.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let path = RequestPath::parse(text)?;
        if path.as_str() != text {
            let canonical = path.as_str().into();
            let text = text.into();
            return Err(PathError::NotCanonical { text, canonical });
        }
        let mut segments = Vec::new();
        let mut parts = text.split('/').skip(1).peekable();
        while let Some(part) = parts.next() {
            segments.push(match part {
                "*" => Segment::One,
                "**" if parts.peek().is_none() => Segment::Rest,
                part if part.contains('*') => {
                    return Err(PathError::Wildcard { text: text.into() });
                }
                part => Segment::Literal(part.into()),
            });
        }
        Ok(Self { segments })
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the canonical `path` is what this pattern is about.
    pub fn covers(&self, path: &str) -> bool {
        let mut parts = path.split('/').skip(1);
        for segment in &self.segments {
            let Some(part) = parts.next() else {
                return false;
            };
            match segment {
                Segment::Literal(literal) if **literal != *part => return false,
                Segment::Literal(_) => {}
                Segment::One if part.is_empty() => return false,
                Segment::One => {}
                Segment::Rest => return true,
            }
        }
        parts.next().is_none()
    }

    /// Whether every segment of `path` that can be read in two ways is spelled out in the pattern.
    pub(crate) fn spells_out(&self, path: &str) -> bool {
        let parts = path.split('/').skip(1);
        let segments = self
            .segments
            .iter()
            .map(Some)
            .chain(std::iter::repeat(None));
        parts.zip(segments).all(|(part, segment)| {
            let two_ways = part.contains("%2F") || part.contains(';');
            !two_ways || matches!(segment, Some(Segment::Literal(_)))
        })
    }

    /// Smaller is more specific: more literals before the first wildcard, then the longer and stricter rest.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let leading = self
            .segments
            .iter()
            .take_while(|segment| matches!(segment, Segment::Literal(_)))
            .count();
        let open = self.segments.last() == Some(&Segment::Rest);
        std::cmp::Reverse((leading, !open, self.segments.len()))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(literal) => write!(f, "/{literal}"),
            Segment::One => f.write_str("/*"),
            Segment::Rest => f.write_str("/**"),
        })
    }
}

/// Why a text is no path or path pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not start with a slash.
    #[error("path {} does not start with `/`", Quoted(.text))]
    NoSlash {
        /// The path found.
        text: Box<str>,
    },
    /// A percent sign without two hexadecimal digits.
    #[error("path {} has a broken percent escape", Quoted(.text))]
    Escape {
        /// The path found.
        text: Box<str>,
    },
    /// A control character, backslash, space or non-ASCII byte.
    #[error("path {} has a control character, backslash, space or non-ASCII byte", Quoted(.text))]
    Byte {
        /// The path found.
        text: Box<str>,
    },
    /// Dot segments together with `%2F` or `;`.
    #[error("path {} leads to different places for different servers", Quoted(.text))]
    Ambiguous {
        /// The path found.
        text: Box<str>,
    },
    /// More `..` than segments.
    #[error("path leads above the root")]
    AboveRoot,
    /// A pattern with dot segments, doubled slashes, a query or needless escapes.
    #[error("path {} is not in canonical form", Quoted(.text))]
    NotCanonical {
        /// The pattern found.
        text: Box<str>,
        /// The form in which it could match.
        canonical: Box<str>,
    },
    /// `*` inside a segment, or `**` before the end.
    #[error("path {} has a `*` inside a segment or a `**` before the end", Quoted(.text))]
    Wildcard {
        /// The pattern found.
        text: Box<str>,
    },
}

impl PathError {
    /// What to write instead.
    pub fn help(&self) -> String {
        match self {
            Self::NoSlash { .. } => "write `/` first".into(),
            Self::Escape { .. } => "write `%25` for a percent sign".into(),
            Self::Byte { .. } => "write such bytes as percent escapes".into(),
            Self::Ambiguous { .. } => "leave out the dot segments, or `%2F` and `;`".into(),
            Self::AboveRoot => "leave out the `..`".into(),
            Self::NotCanonical { canonical, .. } => format!("write `{canonical}`"),
            Self::Wildcard { .. } => {
                "write `*` for one whole segment, and `**` at the end for everything below".into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_one_path() {
        let rows = [
            ("/", Some("/"), None),
            ("/a/b", Some("/a/b"), None),
            ("/a/b/", Some("/a/b/"), None),
            ("/a/b?x=/../c#y", Some("/a/b"), None),
            ("//a///b", Some("/a/b"), None),
            ("/a/./b/.", Some("/a/b/"), None),
            ("/a/../b", Some("/b"), None),
            ("/a/%2e%2E/b", Some("/b"), None),
            ("/a/.%2e/b", Some("/b"), None),
            ("/%61/%7euser", Some("/a/~user"), None),
            ("/a%2fb", Some("/a%2Fb"), Some("/a/b")),
            ("/x/..%2fb", None, None),
            ("/x/..;y/b", None, None),
            ("/a%2fb/../x", None, None),
            ("/a;b/./x", None, None),
            ("/a%2f%2e%2e/x", None, None),
            ("/a%2f/b", Some("/a%2F/b"), Some("/a/b")),
            ("/a;v=1/b", Some("/a;v=1/b"), Some("/a/b")),
            ("/%c3%a9", Some("/%C3%A9"), None),
            ("/a%20b", Some("/a%20b"), None),
            ("/%25", Some("/%25"), None),
            ("/%252e", Some("/%252e"), None),
            ("/..", None, None),
            ("/a/../..", None, None),
            ("/x%2f..%2f..%2fb", None, None),
            ("a", None, None),
            ("", None, None),
            ("*", None, None),
            ("/%", None, None),
            ("/%4", None, None),
            ("/%zz", None, None),
            ("/%00", None, None),
            ("/a\\b", None, None),
            ("/a%5cb", None, None),
            ("/a b", None, None),
            ("/é", None, None),
        ];
        for (text, plain, other) in rows {
            let path = RequestPath::parse(text).ok();
            assert_eq!(path.as_ref().map(RequestPath::as_str), plain, "{text}");
            assert_eq!(
                path.as_ref().and_then(RequestPath::other_reading),
                other,
                "{text}"
            );
            if let Some(path) = path {
                let again = RequestPath::parse(path.as_str()).unwrap();
                assert_eq!(
                    again, path,
                    "{text}: the canonical form is its own canonical form"
                );
            }
        }
    }

    #[test]
    fn patterns_cover_segments() {
        let rows = [
            ("/a/b", "/a/b", true),
            ("/a/b", "/a/b/", false),
            ("/a/b", "/a/bc", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/", false),
            ("/a/*", "/a/b/c", false),
            ("/a/*/c", "/a/b/c", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/a", false),
            ("/a/**", "/ab", false),
            ("/**", "/", true),
            ("/", "/", true),
            ("/", "/a", false),
        ];
        for (pattern, path, expected) in rows {
            let parsed = PathPattern::parse(pattern).unwrap();
            assert_eq!(parsed.covers(path), expected, "{pattern} {path}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn patterns_that_could_never_match_are_refused() {
        for text in [
            "/a/../b", "/a//b", "/a?x", "/%41", "/a%2fb", "/a*", "/**/b", "a", "/***", "",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_more_specific_path_comes_first() {
        let order = [
            "/a/b/c", "/a/b/*", "/a/b/**", "/a/*/c", "/a/*", "/a/*/**", "/a/**", "/*", "/**",
        ];
        let mut sorted: Vec<_> = order
            .iter()
            .rev()
            .map(|p| PathPattern::parse(p).unwrap())
            .collect();
        sorted.sort_by_key(PathPattern::rank);
        let sorted: Vec<_> = sorted.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, order);
    }

    #[test]
    fn what_is_no_path_is_told_with_what_to_write() {
        let rows = [
            ("a", "path `a` does not start with `/`", "write `/` first"),
            (
                "/%4",
                "path `/%4` has a broken percent escape",
                "write `%25`",
            ),
            (
                "/a b",
                "path `/a b` has a control character, backslash, space or non-ASCII byte",
                "write such",
            ),
            (
                "/a%2f..",
                "path `/a%2F..` leads to different places for different servers",
                "leave out the dot",
            ),
            ("/..", "path leads above the root", "leave out the `..`"),
            (
                "/a//b",
                "path `/a//b` is not in canonical form",
                "write `/a/b`",
            ),
            (
                "/a*",
                "path `/a*` has a `*` inside a segment or a `**` before the end",
                "write `*` for one",
            ),
        ];
        for (text, message, help) in rows {
            let error = PathPattern::parse(text).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
            assert!(error.help().starts_with(help), "{text}: {}", error.help());
        }
    }

    #[test]
    fn a_pattern_spells_out_what_it_writes_itself() {
        let rows = [
            ("/a;v/*", "/a;v/b", true),
            ("/a;v/*", "/a;v/b;w", false),
            ("/*/b", "/a%2Fc/b", false),
            ("/a%2Fc/**", "/a%2Fc/b/d", true),
            ("/a%2Fc/**", "/a%2Fc/b/d;v", false),
            ("/**", "/a/b", true),
        ];
        for (pattern, path, expected) in rows {
            let parsed = PathPattern::parse(pattern).unwrap();
            assert_eq!(parsed.spells_out(path), expected, "{pattern} {path}");
        }
    }
}
