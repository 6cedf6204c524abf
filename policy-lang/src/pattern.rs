//! Host patterns: which hosts and ports a rule is about.

use crate::{
    Host, HostError, HostName, Net, Port, PortError, Target, TargetError, Tier, quote::Quoted,
    target::split_port,
};
use std::{cmp::Reverse, fmt};

/// `h`, `h:port`, `*.d`, `*.d:port`, `*`, `*:port`, where `h` is a name or an address literal.
///
/// A port may also be a range: `h:8000-8999`. Two spellings of one pattern are equal.
///
/// ```
/// use policy_lang::{HostPattern, Target};
/// let pattern = HostPattern::parse("*.Example.com:443")?;
/// assert_eq!(pattern.to_string(), "*.example.com:443");
/// assert!(pattern.covers(&Target::parse("a.b.example.com:443", None)?));
/// assert!(!pattern.covers(&Target::parse("example.com:443", None)?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPattern {
    /// Which hosts.
    pub scope: HostScope,
    /// Which ports, first and last; `None` is every port.
    pub ports: Option<(Port, Port)>,
}

/// Which hosts a pattern is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostScope {
    /// This host and no other, not even its subdomains.
    Exact(Host),
    /// Every name below this one, at any depth, and not the name itself.
    Below(HostName),
    /// Every name and every address.
    Any,
}

impl HostPattern {
    /// Reads a pattern as people write it; Unicode names are converted to A-labels.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.contains('/') {
            return Err(match Net::parse(text) {
                Ok(_) => PatternError::Net { text: text.into() },
                Err(_) => PatternError::Url { text: text.into() },
            });
        }
        let (host, port) = split_port(text)?;
        Ok(Self {
            scope: HostScope::parse(host)?,
            ports: port.map(parse_ports).transpose()?,
        })
    }

    /// Whether a request for `target` is what this pattern is about.
    pub fn covers(&self, target: &Target) -> bool {
        let host = match (&self.scope, target.host()) {
            (HostScope::Any, _) => true,
            (HostScope::Exact(host), asked) => host == asked,
            (HostScope::Below(name), Host::Name(asked)) => {
                asked.parents().any(|parent| parent == name.as_str())
            }
            (HostScope::Below(_), Host::Addr(_)) => false,
        };
        host && self.covers_port(target.port())
    }

    /// Whether the pattern's ports include `port`.
    pub fn covers_port(&self, port: Port) -> bool {
        self.ports
            .is_none_or(|(first, last)| (first..=last).contains(&port))
    }

    /// Whether some target is covered by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let ports = match (self.ports, other.ports) {
            (Some((a, b)), Some((c, d))) => a <= d && c <= b,
            _ => true,
        };
        ports && self.scope.overlaps(&other.scope)
    }

    /// Smaller is more specific: the order of DESIGN §4, with narrower ranges of ports before wider.
    pub(crate) fn order(&self) -> impl Ord + use<> {
        let host = match &self.scope {
            HostScope::Exact(_) => (0, Reverse(0)),
            HostScope::Below(name) => (1, Reverse(name.as_str().len())),
            HostScope::Any => (2, Reverse(0)),
        };
        (host, width(self.ports))
    }

    /// The tier of precedence of a rule with this pattern.
    pub fn tier(&self) -> Tier {
        match (&self.scope, self.ports) {
            (HostScope::Exact(_), Some(_)) => Tier::ExactPort,
            (HostScope::Exact(_), None) => Tier::Exact,
            (HostScope::Below(_), _) => Tier::Wildcard,
            (HostScope::Any, _) => Tier::Any,
        }
    }
}

/// How many ports a pattern covers, less one; every port is more than any range.
pub(crate) fn width(ports: Option<(Port, Port)>) -> u32 {
    ports.map_or(u32::MAX, |(first, last)| {
        u32::from(last.get()) - u32::from(first.get())
    })
}

impl HostScope {
    fn overlaps(&self, other: &Self) -> bool {
        let below = |name: &HostName, host: &HostName| host.parents().any(|p| p == name.as_str());
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Exact(left), Self::Exact(right)) => left == right,
            (Self::Below(name), Self::Exact(Host::Name(host)))
            | (Self::Exact(Host::Name(host)), Self::Below(name)) => below(name, host),
            (Self::Below(_), Self::Exact(Host::Addr(_)))
            | (Self::Exact(Host::Addr(_)), Self::Below(_)) => false,
            (Self::Below(left), Self::Below(right)) => {
                left == right || below(left, right) || below(right, left)
            }
        }
    }

    fn parse(host: &str) -> Result<Self, PatternError> {
        if host == "*" {
            return Ok(Self::Any);
        }
        if let Some(below) = host.strip_prefix("*.") {
            return match Host::from_config(below) {
                Ok(Host::Name(name)) => Ok(Self::Below(name)),
                Ok(Host::Addr(_)) | Err(HostError::OddIpv4 { .. } | HostError::BadIpv6 { .. }) => {
                    Err(PatternError::WildAddr { text: host.into() })
                }
                Err(_) if below.contains('*') => Err(PatternError::Wildcard { text: host.into() }),
                Err(error) => Err(error.into()),
            };
        }
        if host.contains('*') {
            return Err(PatternError::Wildcard { text: host.into() });
        }
        Ok(Self::Exact(Host::from_config(host)?))
    }
}

fn parse_ports(text: &str) -> Result<(Port, Port), PatternError> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (Port::parse(first)?, Port::parse(last)?),
        None => {
            let port = Port::parse(text)?;
            (port, port)
        }
    };
    if first > last {
        return Err(PatternError::Backwards { text: text.into() });
    }
    Ok((first, last))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            HostScope::Exact(host) => host.fmt(f)?,
            HostScope::Below(name) => write!(f, "*.{name}")?,
            HostScope::Any => f.write_str("*")?,
        }
        match self.ports {
            None => Ok(()),
            Some((first, last)) if first == last => write!(f, ":{first}"),
            Some((first, last)) => write!(f, ":{first}-{last}"),
        }
    }
}

impl std::str::FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Why a text is no host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A URL where a host is wanted.
    #[error("{} is a URL or has a path", Quoted(.text))]
    Url {
        /// The text found.
        text: Box<str>,
    },
    /// A network where a host is wanted.
    #[error("{} is a network, not a host", Quoted(.text))]
    Net {
        /// The text found.
        text: Box<str>,
    },
    /// `*` anywhere but as the whole leftmost label, once.
    #[error("{} has a `*` that is not the whole first label", Quoted(.text))]
    Wildcard {
        /// The text found.
        text: Box<str>,
    },
    /// `*.1.2.3.4`.
    #[error("{} has a wildcard before an address", Quoted(.text))]
    WildAddr {
        /// The text found.
        text: Box<str>,
    },
    /// A range that ends before it starts.
    #[error("port range {} ends before it starts", Quoted(.text))]
    Backwards {
        /// The text found.
        text: Box<str>,
    },
    /// A bad port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A bad host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A bad authority.
    #[error(transparent)]
    Authority(#[from] TargetError),
}

impl PatternError {
    /// What to write instead.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Url { .. } => "write the host and, if wanted, a port, such as `example.com:443`",
            Self::Net { .. } => "put it into a rule about networks (CIDR)",
            Self::Wildcard { .. } => {
                "write `*.example.com` for every subdomain at any depth, or `*` for every host"
            }
            Self::WildAddr { .. } => {
                "use a CIDR rule, such as `10.0.0.0/8`, for a range of addresses"
            }
            Self::Backwards { .. } => "write the lower port first",
            Self::Port(error) => error.help(),
            Self::Host(error) => error.help(),
            Self::Authority(error) => error.help(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_has_one_spelling() {
        let rows = [
            ("A.Test.", "a.test", Tier::Exact),
            ("a.test:443", "a.test:443", Tier::ExactPort),
            ("a.test:443-443", "a.test:443", Tier::ExactPort),
            ("[::1]:1-2", "[::1]:1-2", Tier::ExactPort),
            ("*.A.test:1-65535", "*.a.test:1-65535", Tier::Wildcard),
            ("*.a.test", "*.a.test", Tier::Wildcard),
            ("*:80", "*:80", Tier::Any),
            ("*", "*", Tier::Any),
        ];
        for (text, canonical, tier) in rows {
            let parsed = pattern(text);
            assert_eq!((&*parsed.to_string(), parsed.tier()), (canonical, tier));
            assert_eq!(text.parse::<HostPattern>().as_ref(), Ok(&parsed), "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told_with_what_to_write() {
        let rows = [
            (
                "https://a.test",
                "`https://a.test` is a URL or has a path",
                "write the host",
            ),
            (
                "10.0.0.0/8",
                "`10.0.0.0/8` is a network, not a host",
                "put it into",
            ),
            (
                "*a.test",
                "`*a.test` has a `*` that is not the whole first label",
                "write `*.example",
            ),
            (
                "*.*.test",
                "`*.*.test` has a `*` that is not the whole first label",
                "write `*.example",
            ),
            (
                "a.*.test",
                "`a.*.test` has a `*` that is not the whole first label",
                "write `*.example",
            ),
            (
                "*.1.2.3.4",
                "`*.1.2.3.4` has a wildcard before an address",
                "use a CIDR",
            ),
            (
                "*.1.2.3",
                "`*.1.2.3` has a wildcard before an address",
                "use a CIDR",
            ),
            (
                "*.[x]",
                "`*.[x]` has a wildcard before an address",
                "use a CIDR",
            ),
            (
                "*.a_b",
                "label `a_b` has more than letters, digits and inner hyphens",
                "write the host name",
            ),
            (
                "a.test:81-80",
                "port range `81-80` ends before it starts",
                "write the lower",
            ),
            ("a.test:0", "port `0` is out of range", "use 1 to 65535"),
            ("::1", "`::1` has more than one colon", "write IPv6"),
            ("", "host is empty", "name a host"),
        ];
        for (text, message, help) in rows {
            let error = HostPattern::parse(text).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
            assert!(error.help().starts_with(help), "{text}: {}", error.help());
        }
    }

    #[test]
    fn patterns_overlap_where_some_target_is_covered_by_both() {
        let rows = [
            ("a.test", "a.test", true),
            ("a.test", "b.test", false),
            ("a.test", "*.test", true),
            ("test", "*.test", false),
            ("*.a.test", "*.test", true),
            ("*.a.test", "*.a.test", true),
            ("*.a.test", "*.b.test", false),
            ("*", "1.2.3.4", true),
            ("*.test", "1.2.3.4", false),
            ("1.2.3.4", "1.2.3.4", true),
            ("a.test:80", "a.test:80", true),
            ("a.test:80", "a.test:81", false),
            ("a.test:80-90", "a.test:90-99", true),
            ("a.test:80-90", "a.test:91-99", false),
            ("a.test:80", "*:1-79", false),
            ("a.test:80", "*", true),
        ];
        for (left, right, expected) in rows {
            let (left, right) = (pattern(left), pattern(right));
            assert_eq!(left.overlaps(&right), expected, "{left} {right}");
            assert_eq!(right.overlaps(&left), expected, "{right} {left}");
        }
    }

    #[test]
    fn a_pattern_covers_its_hosts_and_ports() {
        let rows = [
            ("a.test", "a.test:1", true),
            ("a.test", "x.a.test:1", false),
            ("*.test", "a.b.test:1", true),
            ("*.test", "test:1", false),
            ("*.test", "a.b.example:1", false),
            ("*.4", "1.2.3.4:1", false),
            ("*", "1.2.3.4:1", true),
            ("*:80-90", "a.test:79", false),
            ("*:80-90", "a.test:80", true),
            ("*:80-90", "a.test:90", true),
            ("*:80-90", "a.test:91", false),
        ];
        for (text, asked, expected) in rows {
            let target = Target::parse(asked, None).unwrap();
            let covers = HostPattern::parse(text).is_ok_and(|pattern| pattern.covers(&target));
            assert_eq!(covers, expected, "{text} {asked}");
        }
    }

    #[test]
    fn the_more_specific_pattern_comes_first() {
        let order = [
            "a.test:80",
            "a.test:80-81",
            "a.test:8000-8010",
            "a.test:1-9000",
            "a.test",
            "*.b.a.test",
            "*.a.test:80",
            "*.a.test",
            "*.test",
            "*:80",
            "*:1-65535",
            "*",
        ];
        let mut sorted: Vec<_> = order.iter().rev().map(|text| pattern(text)).collect();
        sorted.sort_by_key(HostPattern::order);
        let sorted: Vec<_> = sorted.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, order);
    }
}
