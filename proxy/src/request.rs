//! Which target a request is for.

use std::sync::{Arc, Mutex, PoisonError};

use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Uri, header};
use policy_lang::{Host, Port, Target, TargetError};

use crate::cause::Cause;

/// Where requests on a connection may go.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// Anywhere: an absolute URI names the target.
    Proxy,
    /// To the target of the `CONNECT` only.
    Inside {
        /// That target.
        target: Target,
        /// TLS was ended here.
        tls: bool,
    },
}

/// A request's target, with its scheme.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) target: Target,
    pub(crate) tls: bool,
    authority: HeaderValue,
}

impl Asked {
    fn new(target: Target, tls: bool) -> Result<Self, Cause> {
        let authority = HeaderValue::try_from(authority(&target, tls))
            .map_err(|error| Cause::Target(error.to_string()))?;
        Ok(Self {
            target,
            tls,
            authority,
        })
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The host and, where it is not the scheme's own, the port: what goes into `Host` and into the log.
    pub(crate) fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

/// What was asked for last on a connection, which is mostly what is asked for next.
#[derive(Debug, Default)]
pub(crate) struct Last(Mutex<Option<(String, Arc<Asked>)>>);

impl Last {
    /// What `spelled` came to if it was asked for last, and otherwise what `judge` makes of it.
    fn or(
        &self,
        spelled: &str,
        judge: impl FnOnce() -> Result<Asked, Cause>,
    ) -> Result<Arc<Asked>, Cause> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, asked)) if known == spelled => Ok(asked.clone()),
            _ => {
                let asked = Arc::new(judge()?);
                *last = Some((spelled.to_owned(), asked.clone()));
                Ok(asked)
            }
        }
    }
}

/// The host and, where it is not the scheme's own, the port.
pub(crate) fn authority(target: &Target, tls: bool) -> String {
    match (target.host(), target.port() == default_port(tls)) {
        // COST: the usual case, without the formatting machinery.
        (Host::Name(name), true) => name.as_str().to_owned(),
        (host, true) => host.to_string(),
        (_, false) => target.to_string(),
    }
}

impl Scope {
    /// The target of a request with this `uri` and these `fields`.
    pub(crate) fn asked(
        &self,
        uri: &Uri,
        fields: &HeaderMap,
        last: &Last,
    ) -> Result<Arc<Asked>, Cause> {
        match self {
            Self::Proxy => absolute(uri, fields, last),
            Self::Inside { target, tls } => inside(uri, fields, target, *tls, last),
        }
    }
}

fn absolute(uri: &Uri, fields: &HeaderMap, last: &Last) -> Result<Arc<Asked>, Cause> {
    let scheme = uri.scheme().ok_or(Cause::NotProxied)?;
    if *scheme != Scheme::HTTP {
        return Err(Cause::Scheme(scheme.to_string()));
    }
    let authority = uri
        .authority()
        .ok_or_else(|| Cause::Target("the request names no host".into()))?;
    let asked = last.or(authority.as_str(), || {
        Asked::new(target_of(authority.as_str(), default_port(false))?, false)
    })?;
    // RFC 9112 §3.2.2 would have us ignore the field. Two names in one request are refused instead: somebody is being fooled.
    if let Some(host) = host(fields)?
        && host != authority.as_str()
        && target_of(host, default_port(false))? != asked.target
    {
        return Err(Cause::Target(format!(
            "`Host: {host}` and the request's URI name different targets"
        )));
    }
    Ok(asked)
}

fn inside(
    uri: &Uri,
    fields: &HeaderMap,
    target: &Target,
    tls: bool,
    last: &Last,
) -> Result<Arc<Asked>, Cause> {
    let default = default_port(tls);
    let named = [uri.authority().map(Authority::as_str), host(fields)?];
    let unlike = |name: &&str| !is_spelled(name, target);
    for name in named.into_iter().flatten().filter(unlike) {
        // A bare host means the port of the connection, whatever that is: `Host: a` in a tunnel to `a:8443` is what
        // some clients send, and there is no other place it could go to.
        let asked = target_of(name, default)?;
        if asked != *target && target_of(name, target.port())? != *target {
            return Err(Cause::Misdirected {
                asked: asked.to_string(),
                connected: target.to_string(),
            });
        }
    }
    let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    if let Some(named) = uri.scheme().filter(|named| **named != scheme) {
        return Err(Cause::Misdirected {
            // Not the query: this is logged.
            asked: format!("{named}://{target}"),
            connected: target.to_string(),
        });
    }
    // However it was spelled, there is one target here.
    last.or("", || Asked::new(target.clone(), tls))
}

/// Whether `name` is the host of `target`, alone or with its port, letter for letter. COST: spares most requests a parser,
/// which is asked about every other spelling.
fn is_spelled(name: &str, target: &Target) -> bool {
    let Host::Name(host) = target.host() else {
        return false;
    };
    match name.strip_prefix(host.as_str()) {
        None => false,
        Some("") => true,
        Some(port) => port
            .strip_prefix(':')
            .filter(|digits| !digits.starts_with(['0', '+']))
            .is_some_and(|digits| digits.parse() == Ok(target.port().get())),
    }
}

/// The target of a `CONNECT`. Its `Host`, where there is one, must name the same.
pub(crate) fn connect(authority: &str, host: Option<&str>) -> Result<Target, Cause> {
    let target = Target::parse(authority, None).map_err(|error| bad_target(&error))?;
    if let Some(host) = host
        && target_of(host, target.port())? != target
    {
        return Err(Cause::Target(format!(
            "`Host: {host}` and `CONNECT {authority}` name different targets"
        )));
    }
    Ok(target)
}

fn host(fields: &HeaderMap) -> Result<Option<&str>, Cause> {
    let mut hosts = fields.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        return Ok(None);
    };
    if hosts.next().is_some() {
        return Err(Cause::Target("`Host` is there twice".into()));
    }
    host.to_str()
        .map(Some)
        .map_err(|_| Cause::Target("`Host` is not ASCII".into()))
}

fn target_of(authority: &str, default: Port) -> Result<Target, Cause> {
    Target::parse(authority, Some(default)).map_err(|error| bad_target(&error))
}

fn bad_target(error: &TargetError) -> Cause {
    Cause::Target(match error {
        // What stands before the `@` is mostly a password, and this is logged.
        TargetError::UserInfo { text } => {
            format!(
                "`{}` has user information before it",
                without_user_info(text)
            )
        }
        error => error.to_string(),
    })
}

/// An authority as it may be logged (RFC 3986 §3.2.1).
pub(crate) fn without_user_info(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

pub(crate) fn default_port(tls: bool) -> Port {
    if tls { Port::HTTPS } else { Port::HTTP }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Expected = Result<&'static str, &'static str>;

    fn outcome(scope: &Scope, uri: &str, host: Option<&str>) -> Result<String, &'static str> {
        let uri: Uri = uri.parse().map_err(|_| "uri")?;
        let mut fields = HeaderMap::new();
        if let Some(host) = host {
            fields.insert(header::HOST, host.parse().unwrap());
        }
        let asked = scope
            .asked(&uri, &fields, &Last::default())
            .map_err(|cause| cause.facts().code)?;
        let authority = asked.authority().to_str().unwrap();
        Ok(format!("{} {authority}", asked.target))
    }

    #[test]
    fn absolute_form() {
        let rows: &[(&str, Option<&str>, Expected)] = &[
            (
                "http://A.example/x",
                Some("a.example"),
                Ok("a.example:80 a.example"),
            ),
            (
                "http://a.example:80/",
                Some("a.example:80"),
                Ok("a.example:80 a.example"),
            ),
            (
                "http://a.example:8080/",
                Some("a.example:8080"),
                Ok("a.example:8080 a.example:8080"),
            ),
            ("http://a.example./", None, Ok("a.example:80 a.example")),
            (
                "http://host.docker.internal:99/",
                None,
                Ok("localhost:99 localhost:99"),
            ),
            (
                "http://[::1]:99/",
                Some("[::1]:99"),
                Ok("[::1]:99 [::1]:99"),
            ),
            ("http://a.example/", Some("evil.example"), Err("bad-target")),
            ("http://a.example/", Some("a.example:81"), Err("bad-target")),
            ("http://u@a.example/", None, Err("bad-target")),
            ("http://127.1/", None, Err("bad-target")),
            ("http://0x7f000001/", None, Err("bad-target")),
            ("/path", Some("a.example"), Err("not-proxied")),
            ("https://a.example/", None, Err("scheme")),
            ("ftp://a.example/", None, Err("scheme")),
            ("gopher://a.example/", None, Err("scheme")),
        ];
        for (uri, host, expected) in rows {
            assert_eq!(
                outcome(&Scope::Proxy, uri, *host).as_deref(),
                expected.as_deref(),
                "{uri} {host:?}"
            );
        }
    }

    #[test]
    fn inside_a_tunnel() {
        let scope = |target: &str| Scope::Inside {
            target: Target::parse(target, None).unwrap(),
            tls: true,
        };
        let rows: &[(&str, &str, Option<&str>, Expected)] = &[
            (
                "a.example:443",
                "/x",
                Some("a.example"),
                Ok("a.example:443 a.example"),
            ),
            (
                "a.example:443",
                "/x",
                Some("A.EXAMPLE:443"),
                Ok("a.example:443 a.example"),
            ),
            (
                "a.example:8443",
                "/x",
                Some("a.example:8443"),
                Ok("a.example:8443 a.example:8443"),
            ),
            (
                "a.example:8443",
                "/x",
                Some("a.example"),
                Ok("a.example:8443 a.example:8443"),
            ),
            (
                "a.example:443",
                "https://a.example/x",
                Some("a.example"),
                Ok("a.example:443 a.example"),
            ),
            (
                "a.example:443",
                "/x",
                Some("evil.example"),
                Err("misdirected"),
            ),
            (
                "a.example:443",
                "/x",
                Some("a.example:444"),
                Err("misdirected"),
            ),
            (
                "a.example:443",
                "https://evil.example/x",
                Some("a.example"),
                Err("misdirected"),
            ),
            (
                "a.example:443",
                "http://a.example:443/x",
                Some("a.example"),
                Err("misdirected"),
            ),
            (
                "a.example:443",
                "/x",
                Some("a.example%00"),
                Err("bad-target"),
            ),
        ];
        for (target, uri, host, expected) in rows {
            assert_eq!(
                outcome(&scope(target), uri, *host).as_deref(),
                expected.as_deref(),
                "{target} {uri} {host:?}"
            );
        }
    }
}
