//! The one value that stands for what a request asks for.

use crate::{Host, HostError, Port, PortError, quote::Quoted};
use std::fmt;

/// A canonical host and port: the only form used for policy, DNS, dialling, SNI, certificates and logs.
///
/// ```
/// use policy_lang::{Port, Target};
/// let target = Target::parse("API.Example.com.:443", None)?;
/// assert_eq!(target.to_string(), "api.example.com:443");
/// assert_eq!(target, Target::parse("api.example.com", Some(Port::HTTPS))?);
/// # Ok::<(), policy_lang::TargetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    host: Host,
    port: Port,
}

impl Target {
    /// A target from its parts.
    pub fn new(host: Host, port: Port) -> Self {
        let host = match host {
            Host::Addr(addr) => Host::Addr(addr.to_canonical()),
            name @ Host::Name(_) => name,
        };
        Self { host, port }
    }

    /// Reads an authority as it comes over the wire: `host`, `host:port`, `1.2.3.4:port` or `[v6]:port`.
    ///
    /// `default_port` stands in for a missing port; without it a missing port is an error (as in CONNECT).
    pub fn parse(authority: &str, default_port: Option<Port>) -> Result<Self, TargetError> {
        check_bytes(authority)?;
        let (host, port) = split_port(authority)?;
        let host = Host::parse(host)?;
        let port = match port {
            Some(text) => Port::parse(text)?,
            None => default_port.ok_or(TargetError::NoPort)?,
        };
        Ok(Self::new(host, port))
    }

    /// Reads an `http://` or `https://` URL, with the scheme's port where it names none.
    ///
    /// Only the authority matters here; it ends at the first `/`, `?` or `#`.
    pub fn from_url(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| TargetError::Scheme { text: url.into() })?;
        let port = match scheme.to_ascii_lowercase().as_str() {
            "http" => Port::HTTP,
            "https" => Port::HTTPS,
            _ => return Err(TargetError::Scheme { text: url.into() }),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        Self::parse(rest.get(..end).unwrap_or(rest), Some(port))
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> Port {
        self.port
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl serde::Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Names the commonest attacks by their own errors; what is left is refused by the host's own grammar.
fn check_bytes(authority: &str) -> Result<(), TargetError> {
    let text = || authority.into();
    if authority.contains('@') {
        return Err(TargetError::UserInfo { text: text() });
    }
    if authority.contains('%') {
        return Err(TargetError::Percent { text: text() });
    }
    if authority.bytes().any(|b| b.is_ascii_control() || b == b' ') {
        return Err(TargetError::Control { text: text() });
    }
    Ok(())
}

/// Cuts `host:port` at the colon; inside brackets colons belong to the host.
pub(crate) fn split_port(text: &str) -> Result<(&str, Option<&str>), TargetError> {
    let colons_from = match text.starts_with('[') {
        true => text.rfind(']').map_or(text.len(), |end| end + 1),
        false => 0,
    };
    let (head, tail) = text.split_at(colons_from);
    match tail.split_once(':') {
        None => Ok((text, None)),
        Some((_, port)) if port.contains(':') => Err(TargetError::Colons { text: text.into() }),
        Some((host, port)) => {
            let host = text.get(..head.len() + host.len()).unwrap_or(text);
            Ok((host, Some(port)))
        }
    }
}

/// Why an authority names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// `user@host`.
    #[error("{} has user information", Quoted(.text))]
    UserInfo {
        /// The authority found.
        text: Box<str>,
    },
    /// A percent sign, whether for escapes or for an IPv6 zone.
    #[error("{} has a percent sign", Quoted(.text))]
    Percent {
        /// The authority found.
        text: Box<str>,
    },
    /// A space or control character, NUL among them.
    #[error("{} has a space or control character", Quoted(.text))]
    Control {
        /// The authority found.
        text: Box<str>,
    },
    /// More than one colon outside brackets.
    #[error("{} has more than one colon", Quoted(.text))]
    Colons {
        /// The authority found.
        text: Box<str>,
    },
    /// A URL that is neither `http:` nor `https:`.
    #[error("{} is not an `http://` or `https://` URL", Quoted(.text))]
    Scheme {
        /// The URL found.
        text: Box<str>,
    },
    /// No port, and none implied.
    #[error("port is missing")]
    NoPort,
    /// A bad port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A bad host.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl TargetError {
    /// What to write instead.
    pub fn help(&self) -> &'static str {
        match self {
            Self::UserInfo { .. } => "leave out everything up to the `@`",
            Self::Percent { .. } => {
                "write the host without escapes and IPv6 addresses without a zone"
            }
            Self::Control { .. } => "write host and port alone",
            Self::Colons { .. } => "write IPv6 addresses in brackets, such as `[::1]:8080`",
            Self::Scheme { .. } => "only HTTP and HTTPS go through the proxy",
            Self::NoPort => "write `host:port`",
            Self::Port(error) => error.help(),
            Self::Host(error) => error.help(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_target_is_told_with_what_to_write() {
        let rows = [
            (
                "u:p@a.test:1",
                "`u:p@a.test:1` has user information",
                "leave out",
            ),
            (
                "a%2etest:1",
                "`a%2etest:1` has a percent sign",
                "write the host without",
            ),
            (
                "a test:1",
                "`a test:1` has a space or control character",
                "write host and port",
            ),
            (
                "a\0test:1",
                "`a\\0test:1` has a space or control character",
                "write host and port",
            ),
            ("::1:1", "`::1:1` has more than one colon", "write IPv6"),
            (
                "[::1]:1:2",
                "`[::1]:1:2` has more than one colon",
                "write IPv6",
            ),
            (
                "[::1]x:1",
                "`[::1]x` is not an IPv6 address in brackets",
                "write the address",
            ),
            (
                "[::1",
                "`[::1` is not an IPv6 address in brackets",
                "write the address",
            ),
            ("a.test", "port is missing", "write `host:port`"),
            ("[::1]", "port is missing", "write `host:port`"),
            ("a.test:", "port is empty", "write a port"),
            (
                "a.test:x",
                "port `x` is not a decimal number",
                "use 1 to 65535",
            ),
            (":1", "host is empty", "name a host"),
            (
                "é.test:1",
                "host `é.test` is not ASCII",
                "send the name's A-labels",
            ),
            (
                "a..test:1",
                "host `a..test` has an empty label",
                "write one dot",
            ),
            (
                "1.2.3:1",
                "`1.2.3` ends in a number but is not an IPv4 address in its usual form",
                "write four",
            ),
        ];
        for (text, message, help) in rows {
            let error = Target::parse(text, None).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
            assert!(error.help().starts_with(help), "{text}: {}", error.help());
        }
    }

    #[test]
    fn urls_name_targets() {
        let rows = [
            ("https://A.test", Some("a.test:443")),
            ("HTTP://a.test?x@y", Some("a.test:80")),
            ("https://a.test:8443/x", Some("a.test:8443")),
            ("https://a.test#@b.test", Some("a.test:443")),
            ("https://a.test@b.test/", None),
            ("ftp://a.test/", None),
            ("a.test/x", None),
        ];
        for (url, expected) in rows {
            let target = Target::from_url(url).ok().map(|target| target.to_string());
            assert_eq!(target.as_deref(), expected, "{url}");
        }
        let error = Target::from_url("ftp://a.test/").unwrap_err();
        assert_eq!(error.help(), "only HTTP and HTTPS go through the proxy");
    }

    #[test]
    fn a_mapped_address_is_one_target_however_it_is_made() {
        let mapped = Host::Addr("::ffff:1.2.3.4".parse().unwrap());
        let target = Target::new(mapped, Port::HTTP);
        assert_eq!(target, Target::parse("1.2.3.4:80", None).unwrap());
        assert_eq!(target, Target::parse("[::ffff:1.2.3.4]:80", None).unwrap());
        assert_eq!(serde_json::to_string(&target).unwrap(), "\"1.2.3.4:80\"");
    }
}
