//! Request paths in canonical form, and patterns over them.

use crate::quote::Quoted;
use std::{collections::HashSet, fmt};

/// The path of a request in the one form that rules are matched against, and what else a server may take it for.
///
/// The query is left out; `%41` is `A`; `.` and `..` are resolved; `//` is `/`. Some servers do not
/// resolve, some take `%2F` for a separator, and some cut `;x` off. What is sent is what the client wrote, so where a path
/// depends on these questions it has several readings, and each is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath {
    plain: String,
    /// With its dot segments and empty segments, where there are any.
    unresolved: Option<String>,
    /// With `%2F` as a separator or without `;x`, where there are any.
    divided: Vec<String>,
}

impl RequestPath {
    /// Reads the path (and query, which is dropped) of a request target in origin form.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let path = text.get(..end).unwrap_or(text);
        let decoded = decode(path)?;
        let plain = resolve(decoded.split('/'))?;
        let mut divided = Vec::new();
        if decoded.contains("%2F") || decoded.contains(';') {
            divided = divisions(&decoded)?;
            divided.retain(|reading| *reading != plain && *reading != decoded);
        }
        let dots = dot_segments(&decoded);
        // Whether a server joins or decodes before it resolves would decide where they lead.
        if dots > 0 && (decoded.contains("//") || dots != dot_segments(path)) {
            return Err(PathError::Ambiguous { text: path.into() });
        }
        let unresolved = (decoded != plain).then_some(decoded);
        Ok(Self {
            plain,
            unresolved,
            divided,
        })
    }

    /// The canonical path: how a server reads it that resolves it, and takes every other byte for what it is.
    pub fn as_str(&self) -> &str {
        &self.plain
    }

    /// How other servers may read it, where that differs.
    pub(crate) fn other_readings(&self) -> impl Iterator<Item = &str> {
        self.unresolved().chain(self.divided())
    }

    /// How a server reads it that does not resolve.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = &str> {
        self.unresolved.iter().map(String::as_str)
    }

    /// How servers may read it that divide it into other segments.
    pub(crate) fn divided(&self) -> impl Iterator<Item = &str> {
        self.divided.iter().map(String::as_str)
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

/// `%2F` as a separator, `;x` cut off, or both. With dot segments as well, the order in which a server does these
/// things would decide where the path leads, so that is refused.
fn divisions(decoded: &str) -> Result<Vec<String>, PathError> {
    let split = decoded.replace("%2F", "/");
    let mut readings = Vec::new();
    for reading in [cut(&split), cut(decoded), split] {
        if dot_segments(&reading) > 0 {
            return Err(PathError::Ambiguous {
                text: decoded.into(),
            });
        }
        readings.push(resolve(reading.split('/'))?);
        readings.push(reading);
    }
    let mut seen = HashSet::new();
    readings.retain(|reading| seen.insert(reading.clone()));
    Ok(readings)
}

fn cut(path: &str) -> String {
    let segments = path.split('/');
    let bare = segments.map(|segment| segment.split(';').next().unwrap_or(segment));
    bare.collect::<Vec<_>>().join("/")
}

fn dot_segments(path: &str) -> usize {
    let segments = path.split('/');
    segments
        .filter(|segment| matches!(*segment, "." | ".."))
        .count()
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
    /// Dot segments together with `//`, `%2F` or `;`, or written as `%2e`.
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
            Self::Ambiguous { .. } => "leave out the dot segments".into(),
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
        let none: &[&str] = &[];
        let rows = [
            ("/", Some("/"), none),
            ("/a/b", Some("/a/b"), none),
            ("/a/b/", Some("/a/b/"), none),
            ("/a/b?x=/../c#y", Some("/a/b"), none),
            ("//a///b", Some("/a/b"), &["//a///b"]),
            ("/a//", Some("/a/"), &["/a//"]),
            ("/a/./b/.", Some("/a/b/"), &["/a/./b/."]),
            ("/a/../b", Some("/b"), &["/a/../b"]),
            ("/a/%2e%2E/b", None, none),
            ("/a/.%2e/b", None, none),
            ("/a/b%2ec", Some("/a/b.c"), none),
            ("/%61/%7euser", Some("/a/~user"), none),
            ("/a%2fb", Some("/a%2Fb"), &["/a/b"]),
            ("/x/..%2fb", None, none),
            ("/x/..;y/b", None, none),
            ("/a%2fb/../x", None, none),
            ("/a;b/./x", None, none),
            ("/a%2f%2e%2e/x", None, none),
            ("/a//../x", None, none),
            ("/a/.//x", None, none),
            ("/a%2f/b", Some("/a%2F/b"), &["/a/b", "/a//b"]),
            ("/a%2f%2fb", Some("/a%2F%2Fb"), &["/a/b", "/a//b"]),
            ("//a%2fb", Some("/a%2Fb"), &["//a%2Fb", "/a/b", "//a/b"]),
            ("/a;v=1/b", Some("/a;v=1/b"), &["/a/b"]),
            ("/a;v%2fb", Some("/a;v%2Fb"), &["/a/b", "/a", "/a;v/b"]),
            ("/%c3%a9", Some("/%C3%A9"), none),
            ("/a%20b", Some("/a%20b"), none),
            ("/%25", Some("/%25"), none),
            ("/%252e", Some("/%252e"), none),
            ("/..", None, none),
            ("/a/../..", None, none),
            ("/x%2f..%2f..%2fb", None, none),
            ("a", None, none),
            ("", None, none),
            ("*", None, none),
            ("/%", None, none),
            ("/%4", None, none),
            ("/%zz", None, none),
            ("/%00", None, none),
            ("/a\\b", None, none),
            ("/a%5cb", None, none),
            ("/a b", None, none),
            ("/é", None, none),
        ];
        for (text, plain, others) in rows {
            let path = RequestPath::parse(text).ok();
            assert_eq!(path.as_ref().map(RequestPath::as_str), plain, "{text}");
            let Some(path) = path else {
                continue;
            };
            assert_eq!(path.other_readings().collect::<Vec<_>>(), others, "{text}");
            let again = RequestPath::parse(path.as_str()).unwrap();
            assert_eq!(
                (again.as_str(), again.unresolved.as_deref()),
                (path.as_str(), None),
                "{text}: the canonical form is its own canonical form"
            );
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
