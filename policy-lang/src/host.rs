//! Host names and address literals in their one canonical form.

use crate::quote::Quoted;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// RFC 1035 §2.3.4, without the root's empty label.
const NAME_BYTES: usize = 253;
/// RFC 1035 §2.3.4.
const LABEL_BYTES: usize = 63;

/// The name under which services of the machine that runs the proxy are asked for.
const LOCALHOST: &str = "localhost";
/// What guests call that machine; requests for these become requests for `localhost`.
const LOCALHOST_ALIASES: [&str; 2] = ["host.docker.internal", "gateway.docker.internal"];

/// A DNS name: lower-case A-labels of letters, digits and inner hyphens, no trailing dot, at most 253 bytes.
///
/// INVARIANT: the last label is not numeric, so no reader can take a name for an IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Reads a name as it comes over the wire: ASCII only.
    ///
    /// A U-label is refused rather than converted, because the client that resolved or showed it may have
    /// used another mapping than ours. `host.docker.internal` and `gateway.docker.internal` become `localhost`.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if !text.is_ascii() {
            return Err(HostError::NotAscii { text: text.into() });
        }
        let name = canonical_name(text, text)?;
        if LOCALHOST_ALIASES.contains(&name.as_str()) {
            return Ok(Self(LOCALHOST.into()));
        }
        Ok(Self(name.into()))
    }

    /// Reads a name as people write it in rules: Unicode is converted to A-labels (UTS 46, non-transitional).
    ///
    /// The aliases of `localhost` are refused: a rule that names one could never match a request.
    pub fn from_config(text: &str) -> Result<Self, HostError> {
        let name = if text.is_ascii() {
            canonical_name(text, text)?
        } else {
            let ascii = Uts46::new()
                .to_ascii(
                    text.as_bytes(),
                    AsciiDenyList::URL,
                    Hyphens::Allow,
                    DnsLength::Ignore,
                )
                .map_err(|_| HostError::NotIdna { text: text.into() })?;
            canonical_name(&ascii, text)?
        };
        if LOCALHOST_ALIASES.contains(&name.as_str()) {
            return Err(HostError::Alias { name: name.into() });
        }
        Ok(Self(name.into()))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names above this one, nearest first: `a.b.c` has `b.c` and `c`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(parent(&self.0), |name| parent(name))
    }
}

fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a request asks for: a name to be resolved, or an address.
///
/// An IPv4-mapped IPv6 literal (`::ffff:a.b.c.d`) is the IPv4 address itself, because a socket treats it so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name.
    Name(HostName),
    /// An address literal.
    Addr(IpAddr),
}

impl Host {
    /// Whether it is an address literal.
    pub fn is_addr(&self) -> bool {
        matches!(self, Self::Addr(_))
    }

    /// Reads a host as it stands in an authority: a name, a dotted quad, or IPv6 in brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        match literal(text)? {
            Some(addr) => Ok(Self::Addr(addr)),
            None => HostName::parse(text).map(Self::Name),
        }
    }

    /// The same for text that a person wrote in a rule; see [`HostName::from_config`].
    pub fn from_config(text: &str) -> Result<Self, HostError> {
        match literal(text)? {
            Some(addr) => Ok(Self::Addr(addr)),
            None => HostName::from_config(text).map(Self::Name),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Addr(IpAddr::V4(addr)) => addr.fmt(f),
            Self::Addr(IpAddr::V6(addr)) => write!(f, "[{addr}]"),
        }
    }
}

/// The address that `text` is a canonical literal of; `None` if it is a name.
fn literal(text: &str) -> Result<Option<IpAddr>, HostError> {
    if let Some(rest) = text.strip_prefix('[') {
        return rest
            .strip_suffix(']')
            .and_then(|inner| inner.parse::<Ipv6Addr>().ok())
            .map(|addr| Some(addr.to_canonical()))
            .ok_or_else(|| HostError::BadIpv6 { text: text.into() });
    }
    if !ends_in_a_number(text) {
        return Ok(None);
    }
    let quad = text.strip_suffix('.').unwrap_or(text);
    quad.parse::<Ipv4Addr>()
        .map(|addr| Some(addr.into()))
        .map_err(|_| HostError::OddIpv4 { text: text.into() })
}

/// The WHATWG URL standard's "ends in a number checker": such a host is an IPv4 address or nothing, since
/// resolvers and C libraries read `127.1`, `0x7f000001` or `2130706433` as addresses.
fn ends_in_a_number(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or(text);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// Whether `name` is surely its own canonical form, found out in one pass without allocating; some canonical
/// names (A-labels, and those that end in a number's first digit) need the longer way.
pub(crate) fn is_plainly_canonical(name: &str) -> bool {
    let mut before = b'.';
    let mut label = 0;
    let mut hyphens = false;
    for (at, byte) in (0..).zip(name.bytes()) {
        match (before, byte) {
            (_, b'a'..=b'z' | b'0'..=b'9') => {}
            (b'.', b'-') | (b'.' | b'-', b'.') => return false,
            (b'-', b'-') => hyphens = true,
            (_, b'-') => {}
            (_, b'.') if at - label <= LABEL_BYTES => label = at + 1,
            _ => return false,
        }
        before = byte;
    }
    let ends_well = before != b'.' && before != b'-' && name.len() - label <= LABEL_BYTES;
    let last = name.as_bytes().get(label).copied().unwrap_or(b'0');
    ends_well
        && name.len() <= NAME_BYTES
        && !last.is_ascii_digit()
        && !(hyphens && name.split('.').any(|label| label.starts_with("xn--")))
        && !(name.ends_with(".docker.internal") && LOCALHOST_ALIASES.contains(&name))
}

/// `shown` is the text as it was written, for errors.
fn canonical_name(text: &str, shown: &str) -> Result<String, HostError> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    if bare.is_empty() {
        return Err(HostError::Empty);
    }
    if bare.len() > NAME_BYTES {
        return Err(HostError::LongName { bytes: bare.len() });
    }
    for label in bare.split('.') {
        check_label(label, shown)?;
    }
    let name = bare.to_ascii_lowercase();
    if ends_in_a_number(&name) {
        return Err(HostError::OddIpv4 { text: shown.into() });
    }
    check_punycode(&name)?;
    Ok(name)
}

fn check_label(label: &str, text: &str) -> Result<(), HostError> {
    if label.is_empty() {
        return Err(HostError::EmptyLabel { text: text.into() });
    }
    if label.len() > LABEL_BYTES {
        return Err(HostError::LongLabel { bytes: label.len() });
    }
    let ldh = label
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !ldh || label.starts_with('-') || label.ends_with('-') {
        return Err(HostError::BadLabel {
            label: label.into(),
        });
    }
    Ok(())
}

/// An `xn--` label must be the one A-label of what it decodes to; `xn--` forms of plain ASCII are how
/// RUSTSEC-2024-0421 gave one name two spellings.
fn check_punycode(name: &str) -> Result<(), HostError> {
    if !name.split('.').any(|label| label.starts_with("xn--")) {
        return Ok(());
    }
    let ascii = Uts46::new().to_ascii(
        name.as_bytes(),
        AsciiDenyList::URL,
        Hyphens::Allow,
        DnsLength::Ignore,
    );
    match ascii {
        Ok(ascii) if ascii == name => Ok(()),
        _ => Err(HostError::NotIdna { text: name.into() }),
    }
}

/// Why a text is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No text at all.
    #[error("host is empty")]
    Empty,
    /// A byte above 0x7f on the wire.
    #[error("host {} is not ASCII", Quoted(.text))]
    NotAscii {
        /// The host found.
        text: Box<str>,
    },
    /// Two dots in a row, or one at the start.
    #[error("host {} has an empty label", Quoted(.text))]
    EmptyLabel {
        /// The host found.
        text: Box<str>,
    },
    /// A byte that is no letter, digit or inner hyphen.
    #[error("label {} has more than letters, digits and inner hyphens", Quoted(.label))]
    BadLabel {
        /// The label found.
        label: Box<str>,
    },
    /// A label of more than 63 bytes.
    #[error("a label of the host has {bytes} bytes, more than 63")]
    LongLabel {
        /// Its length.
        bytes: usize,
    },
    /// A name of more than 253 bytes.
    #[error("the host has {bytes} bytes, more than 253")]
    LongName {
        /// Its length.
        bytes: usize,
    },
    /// A spelling of an IPv4 address other than the dotted quad.
    #[error("{} ends in a number but is not an IPv4 address in its usual form", Quoted(.text))]
    OddIpv4 {
        /// The host found.
        text: Box<str>,
    },
    /// Brackets without an IPv6 address between them.
    #[error("{} is not an IPv6 address in brackets", Quoted(.text))]
    BadIpv6 {
        /// The host found.
        text: Box<str>,
    },
    /// A name that IDNA refuses.
    #[error("{} is not a valid internationalised name", Quoted(.text))]
    NotIdna {
        /// The host found.
        text: Box<str>,
    },
    /// A rule that names an alias of `localhost`.
    #[error(
        "a rule for `{name}` never matches, since requests for it become requests for `localhost`"
    )]
    Alias {
        /// The alias.
        name: Box<str>,
    },
}

impl HostError {
    /// What to write instead.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Empty => "name a host, such as `example.com`",
            Self::NotAscii { .. } => "send the name's A-labels (`xn--…`)",
            Self::EmptyLabel { .. } => "write one dot between labels and none at the start",
            Self::BadLabel { .. } => "write the host name alone, such as `example.com`",
            Self::LongLabel { .. } | Self::LongName { .. } => "no such name can exist in the DNS",
            Self::OddIpv4 { .. } => {
                "write four decimal numbers without leading zeros, such as `127.0.0.1`"
            }
            Self::BadIpv6 { .. } => {
                "write the address alone, such as `[2001:db8::1]`, without a zone"
            }
            Self::NotIdna { .. } => "check the name's spelling",
            Self::Alias { .. } => "write `localhost` with a port, such as `localhost:1234`",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the short way takes, told by the long one.
    fn is_plain(name: &str) -> bool {
        canonical_name(name, name).is_ok_and(|canonical| canonical == name)
            && !LOCALHOST_ALIASES.contains(&name)
            && name.split('.').all(|label| !label.starts_with("xn--"))
            && name
                .rsplit('.')
                .next()
                .is_some_and(|last| !last.starts_with(|first: char| first.is_ascii_digit()))
    }

    #[test]
    fn the_short_way_takes_what_the_long_one_leaves_as_it_is() {
        let alphabet = ["a", "z", "0", "9", "-", ".", "A", "_", "xn--", "é"];
        let mut names = vec![String::new()];
        let mut longest = names.clone();
        for _ in 0..5 {
            longest = longest
                .iter()
                .flat_map(|name| alphabet.map(|piece| format!("{name}{piece}")))
                .collect();
            names.extend_from_slice(&longest);
        }
        for bytes in [62, 63, 64, 65] {
            let label = "a".repeat(bytes);
            names.extend([
                label.clone(),
                format!("{label}.b"),
                format!("b.{label}"),
                format!("b.{label}.b"),
            ]);
        }
        let half = format!("{0}.{0}", "a".repeat(63));
        for bytes in [124, 125, 126, 127] {
            let rest = format!("{}.{}", "b".repeat(62), "b".repeat(bytes - 63));
            names.push(format!("{half}.{rest}"));
        }
        names.extend(LOCALHOST_ALIASES.map(str::to_owned));
        names.extend(["a.docker.internal".into(), "docker.internal".into()]);
        for name in names {
            assert_eq!(is_plainly_canonical(&name), is_plain(&name), "{name:?}");
        }
    }

    #[test]
    fn only_literals_are_addresses() {
        for (text, expected) in [("a.test", false), ("1.2.3.4", true), ("[::1]", true)] {
            assert_eq!(Host::parse(text).unwrap().is_addr(), expected, "{text}");
        }
    }
}
