//! Proxies between this machine and the network: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` of the host. They
//! speak HTTP (`http://`), HTTP inside TLS (`https://`, verified like an origin), or SOCKS 5 (`socks5://`, RFC 1928).
//!
//! The policy and the address checks stay what they are. What a parent is asked for is the address that was judged
//! (`CONNECT 203.0.113.7:443`), so it matters nowhere what the parent makes of the name. One form names the host, since
//! there is no other for it: plain HTTP in absolute form. It is used for targets that an exact rule allows, whose addresses
//! no CIDR rule is about, and for address literals; plain HTTP to others is a `CONNECT` to the judged address too.
//! With `SANDBOX_PARENT_BY_NAME` a parent is asked for names throughout, for those whose parents allow nothing else: then the
//! address that was judged here and the one that the parent finds may differ, and keeping private addresses out of reach
//! is the parent's part.
//! Names that this machine cannot resolve are a 502, also then. With `SANDBOX_PARENT_RESOLVES` the parent is asked for
//! those of them that an exact rule allows, as no CIDR rule is about such targets; for every other name addresses must be
//! judged, and only this machine can do that. Metadata addresses and the like are then the parent's part.
//!
//! A parent that does not do its part ends the request. There is no way around it.

use http::HeaderValue;
use policy_lang::{Host, Net, Target};
use rustls::pki_types::ServerName;
use secrecy::zeroize::Zeroizing;

use crate::credentials::Handed;

/// Variables that name parents, hosts without one, and (if they are set at all) that parents are asked by name, and
/// resolve what this machine cannot. Lower case counts before upper case.
pub const VARIABLES: [&str; 11] = [
    "DOCKER_SANDBOXES_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SANDBOX_PARENT_BY_NAME",
    "SANDBOX_PARENT_RESOLVES",
];

/// The parents of this machine.
#[derive(Debug, Clone, Default)]
pub struct Parents {
    http: Option<Parent>,
    https: Option<Parent>,
    exempt: Vec<Exempt>,
    /// Ask for names instead of the addresses that were judged.
    by_name: bool,
    /// Ask for names that this machine cannot resolve.
    resolves: bool,
}

/// One parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    /// `host:port`, as the system resolves it.
    pub(crate) authority: String,
    /// What it is told of us (RFC 7617).
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) speaks: Speaks,
}

/// What is spoken with a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http,
    /// HTTP inside TLS, with the host that the certificate must be for.
    Https(ServerName<'static>),
    /// SOCKS 5 (RFC 1928).
    Socks,
}

/// Why a parent cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParentError {
    /// Not a URL of a proxy.
    #[error(
        "{variable} does not name a proxy as `http://[user:password@]host:port`, `https://…` or `socks5://…`"
    )]
    Url {
        /// The variable. Its value may hold a password.
        variable: String,
    },
    /// A kind of proxy that cannot be a parent.
    #[error(
        "{variable} names a `{scheme}` proxy, and only `http`, `https`, `socks5` and `socks5h` ones can be used"
    )]
    Scheme {
        /// The variable.
        variable: String,
        /// The scheme of its value.
        scheme: String,
    },
}

/// Hosts that are reached without a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exempt {
    All,
    /// A name and those below it, with a port or without.
    Name(String, Option<u16>),
    Net(Net),
}

impl Parents {
    /// From variables, as `lookup` finds them.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ParentError> {
        let parent = |names: &[&str]| {
            let set = names.iter().find_map(|name| {
                let value = Zeroizing::new(lookup(name)?);
                (!value.trim().is_empty()).then_some((*name, value))
            });
            set.map(|(name, value)| Parent::parse(name, &value))
                .transpose()
        };
        let [
            sandboxes,
            http,
            http_upper,
            https,
            https_upper,
            all,
            all_upper,
            no,
            no_upper,
            by_name,
            resolves,
        ] = VARIABLES;
        let is_set = |name| lookup(name).is_some_and(|value| !value.is_empty());
        let exempt = lookup(no).or_else(|| lookup(no_upper)).unwrap_or_default();
        Ok(Self {
            http: parent(&[sandboxes, http, http_upper, all, all_upper])?,
            https: parent(&[sandboxes, https, https_upper, all, all_upper])?,
            exempt: exempt.split([',', ' ']).filter_map(Exempt::parse).collect(),
            by_name: is_set(by_name),
            resolves: is_set(resolves),
        })
    }

    /// From what was handed over.
    pub fn handed(handed: &Handed) -> Result<Self, ParentError> {
        Self::from_variables(|name| handed.text(name))
    }

    /// Whether parents are asked for names instead of the addresses that were judged.
    pub(crate) fn by_name(&self) -> bool {
        self.by_name
    }

    /// Whether a parent may resolve the name of `target` where this machine cannot. None if no parent is responsible for it.
    pub(crate) fn may_resolve(&self, target: &Target) -> Option<bool> {
        let parent = self.of(target, true).or_else(|| self.of(target, false));
        parent.map(|_| self.resolves)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// The parent for `target`. This machine itself is never asked for through one.
    pub(crate) fn of(&self, target: &Target, tls: bool) -> Option<&Parent> {
        let parent = if tls { &self.https } else { &self.http };
        let parent = parent.as_ref()?;
        let local = match target.host() {
            Host::Name(name) => name.as_str() == "localhost",
            Host::Addr(addr) => addr.is_loopback(),
        };
        let exempt = local || self.exempt.iter().any(|exempt| exempt.covers(target));
        (!exempt).then_some(parent)
    }
}

impl Parent {
    fn parse(variable: &str, value: &str) -> Result<Self, ParentError> {
        let bad = || ParentError::Url {
            variable: variable.to_owned(),
        };
        let value = value.trim();
        let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
        // Who is asked for names is not for the scheme to say: it is the judged address, or else `SANDBOX_PARENT_BY_NAME`.
        let scheme = scheme.to_ascii_lowercase();
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        // A port that is not said is 80 for some clients and 1080 for others; nobody means either.
        let (name, port) = host.rsplit_once(':').ok_or_else(bad)?;
        if !port.parse().is_ok_and(|port: u16| port != 0) || name.is_empty() {
            return Err(bad());
        }
        let speaks = match scheme.as_str() {
            "http" => Speaks::Http,
            "https" => Speaks::Https(server_name(name).ok_or_else(bad)?),
            "socks5" | "socks5h" => Speaks::Socks,
            _ => {
                return Err(ParentError::Scheme {
                    variable: variable.to_owned(),
                    scheme,
                });
            }
        };
        let authorization = user.map(|user| basic(user).ok_or_else(bad)).transpose()?;
        Ok(Self {
            authority: host.to_owned(),
            authorization,
            speaks,
        })
    }

    /// Name and password, as SOCKS wants them (RFC 1929).
    pub(crate) fn login(&self) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
        use base64::Engine as _;
        let basic = self.authorization.as_ref()?.to_str().ok()?;
        let pair = base64::engine::general_purpose::STANDARD.decode(basic.strip_prefix("Basic ")?);
        let pair = Zeroizing::new(String::from_utf8(pair.ok()?).ok()?);
        let (name, password) = pair.split_once(':')?;
        Some((
            Zeroizing::new(name.to_owned()),
            Zeroizing::new(password.to_owned()),
        ))
    }
}

/// What the certificate of the parent at `host` must be for. An IPv6 address has its brackets here.
fn server_name(host: &str) -> Option<ServerName<'static>> {
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let name = ServerName::try_from(address.unwrap_or(host)).ok()?;
    Some(name.to_owned())
}

/// `user:password`, percent-encoded as URLs have it, as the value of `Proxy-Authorization`.
fn basic(user: &str) -> Option<HeaderValue> {
    use base64::Engine as _;
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8();
    let pair = Zeroizing::new(format!("{}:{}", decode(name).ok()?, decode(password).ok()?));
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair.as_bytes());
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Exempt {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::All);
        }
        if let Ok(net) = Net::parse(&text) {
            return Some(Self::Net(net));
        }
        let text = text.trim_start_matches("*.").trim_start_matches('.');
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text, None),
        };
        Some(Self::Name(name.to_owned(), port))
    }

    fn covers(&self, target: &Target) -> bool {
        match (self, target.host()) {
            (Self::All, _) => true,
            (Self::Net(net), Host::Addr(addr)) => net.contains(*addr),
            (Self::Net(_), Host::Name(_)) => false,
            (Self::Name(name, port), host) => {
                let host = host.to_string();
                let below = host.strip_suffix(name.as_str());
                below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
                    && port.is_none_or(|port| port == target.port().get())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parents(variables: &[(&str, &str)]) -> Result<Parents, ParentError> {
        Parents::from_variables(|name| {
            let found = variables.iter().find(|(set, _)| *set == name)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn which_parent() {
        let all: &[(&str, &str)] = &[
            ("http_proxy", "http://plain:1"),
            ("HTTP_PROXY", "http://other:1"),
            ("HTTPS_PROXY", "me:p%40ss@secure:2/"),
            (
                "NO_PROXY",
                "localhost, .corp.test,*.lan,10.0.0.0/8,odd.test:8443 192.0.2.7",
            ),
        ];
        let rows = [
            ("a.test:80", Some("plain:1"), Some("secure:2")),
            ("corp.test:80", None, None),
            ("x.corp.test:80", None, None),
            ("xcorp.test:80", Some("plain:1"), Some("secure:2")),
            ("x.lan:1", None, None),
            ("10.1.2.3:1", None, None),
            ("192.0.2.7:1", None, None),
            ("192.0.2.8:1", Some("plain:1"), Some("secure:2")),
            ("odd.test:8443", None, None),
            ("odd.test:443", Some("plain:1"), Some("secure:2")),
            ("localhost:1", None, None),
            ("[::1]:1", None, None),
        ];
        let parents = parents(all).unwrap();
        for (target, http, https) in rows {
            let target = Target::parse(target, None).unwrap();
            let of = |tls| {
                parents
                    .of(&target, tls)
                    .map(|parent| parent.authority.as_str())
            };
            assert_eq!((of(false), of(true)), (http, https), "{target}");
        }
        let authorization = parents.https.as_ref().unwrap().authorization.clone();
        assert_eq!(authorization.unwrap(), "Basic bWU6cEBzcw==");
        assert!(!format!("{parents:?}").contains("bWU6"));
    }

    #[test]
    fn the_more_special_variable_counts() {
        let set = [
            ("ALL_PROXY", "http://all:1"),
            ("https_proxy", ""),
            ("HTTPS_PROXY", "http://s:1"),
        ];
        let found = parents(&set).unwrap();
        assert_eq!(found.http.unwrap().authority, "all:1");
        assert_eq!(found.https.unwrap().authority, "s:1");
        assert!(parents(&[]).unwrap().is_empty());
    }

    #[test]
    fn bad_parents_are_told_without_their_password() {
        for value in [
            "http://u:secret@host",
            "http://u:secret@:80",
            "host:0",
            "host:x",
            "socks4://u:secret@h:1",
            "socks5://u:secret@h",
            "https://u:secret@h",
            "https://u:secret@a_b~:1",
            "https://u:secret@[::1:1",
            "quic://u:secret@h:1",
        ] {
            let error = parents(&[("HTTP_PROXY", value)]).unwrap_err().to_string();
            assert!(
                error.starts_with("HTTP_PROXY ") && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
