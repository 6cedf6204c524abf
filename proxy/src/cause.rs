//! Why a request did not get an answer from its origin, and what the client is told.

use std::time::Duration;

use http::StatusCode;

use crate::audit::{Action, LOG_FULL, Stage};
use crate::budgets::meter::Spent;
use crate::credentials::CredentialError;
use crate::gate::{Refusal, Ruling};
use crate::http1::head::HeadError;
use crate::resolve::ResolveError;

/// Every way a request can end here.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The head is not one this proxy passes on.
    Head(HeadError),
    /// The request line or `Host` names no target.
    Target(String),
    /// A request to the proxy itself, not through it.
    NotProxied,
    /// A scheme other than `http`.
    Scheme(String),
    /// An upgrade to something other than `websocket`.
    Upgrade,
    /// `Host` names another target than the connection.
    Misdirected { asked: String, connected: String },
    /// `CONNECT` inside an intercepted connection.
    NestedConnect,
    /// The TLS server name is not the `CONNECT` host.
    ServerName { asked: String },
    /// A tunnel carries neither TLS nor HTTP, and is not bypassed.
    NotHttp,
    /// TLS with the client failed; often it does not trust the sandbox's authority.
    ClientTls(String),
    /// Nobody knows who asks: no user name and password, or not the right ones.
    Unidentified,
    /// The client is known, and there is no policy for it.
    NoPolicy,
    /// The policy, or the resolver after it.
    Refused(Refusal),
    /// A policy that came into force meanwhile.
    Revoked,
    /// A limit or budget of the policy.
    Limited { rule: String, wait: Duration },
    /// A credential that is to be set cannot be had.
    Credential {
        name: String,
        error: CredentialError,
    },
    /// No address could be connected to.
    Dial(DialError),
    /// The parent proxy did not do its part.
    Parent(ParentRefusal),
    /// TLS with the origin failed.
    OriginTls(TlsError),
    /// The origin's answer is not one this proxy passes on.
    BadAnswer(String),
    /// The origin closed the connection before answering.
    Closed(String),
    /// The origin took too long to answer.
    FirstByte,
    /// The client went away.
    ClientAbort,
    /// A body stood still for too long.
    Stalled,
    /// Too many connections, or requests on them.
    Busy,
    /// Too little memory.
    NoRoom,
    /// The log cannot be written.
    LogFull,
    /// A defect in the proxy.
    Internal(String),
}

impl From<Spent> for Cause {
    fn from(Spent { rule, wait }: Spent) -> Self {
        Self::Limited { rule, wait }
    }
}

/// Why no connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    #[error("connection refused")]
    Refused,
    #[error("no answer in time")]
    Timeout,
    #[error("network or host is unreachable")]
    Unreachable,
    /// EADDRNOTAVAIL: all ports for that address and port are taken (ip(7), `ip_local_port_range`), or nothing here has
    /// an address of that family.
    #[error(
        "this machine has no local port left for another connection to that address, or no address to connect from"
    )]
    NoPort,
    /// EMFILE, ENFILE
    #[error("the proxy has no descriptor left for another connection")]
    NoDescriptor,
    /// ENOBUFS, ENOMEM
    #[error("this machine has no memory left for another connection")]
    NoMemory,
    #[error("connection failed: {0}")]
    Other(std::io::ErrorKind),
}

/// What a parent proxy did instead of its part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParentRefusal {
    #[error("it cannot be reached: {0}")]
    Unreachable(std::io::ErrorKind),
    #[error("it did not answer in time")]
    Timeout,
    #[error(transparent)]
    Tls(TlsError),
    #[error("its answer is not one of a proxy")]
    Malformed,
    #[error("it wants a user name and password, or others than those it got")]
    Unknown,
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("it could not connect: {0}")]
    Socks(&'static str),
}

/// Why TLS with an origin or a parent proxy failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("its certificate has expired or is not yet valid")]
    Expired,
    #[error("its certificate is for another host")]
    WrongHost,
    #[error("its certificate is not signed by an authority this machine trusts")]
    UnknownAuthority,
    #[error("its certificate is not acceptable: {0}")]
    Certificate(String),
    #[error("it did not finish the TLS handshake in time")]
    Timeout,
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

/// A cause as client, log and counters see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) status: StatusCode,
    /// The `x-sandbox-reason` header and the log's `reason`. Stable.
    pub(crate) code: &'static str,
    pub(crate) action: Action,
    pub(crate) stage: Stage,
}

impl Cause {
    /// The one place where causes become answers.
    pub(crate) fn facts(&self) -> Facts {
        use Action::{Allowed, Denied};
        use Stage::{Address, Answer, Client, Dial, Handshake, Host, Parse, Relay, Resolve};
        use StatusCode as S;
        let (status, code, action, stage) = match self {
            Self::Head(HeadError::TooLarge | HeadError::TooManyFields) => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                Denied,
                Parse,
            ),
            Self::Head(HeadError::Trace) => (S::METHOD_NOT_ALLOWED, "method", Denied, Parse),
            Self::Head(
                HeadError::BadByte
                | HeadError::RequestLine
                | HeadError::Method
                | HeadError::RequestTarget
                | HeadError::Version
                | HeadError::Field
                | HeadError::Folded
                | HeadError::Host
                | HeadError::ContentLength
                | HeadError::TransferEncoding
                | HeadError::TwoLengths
                | HeadError::Connection
                | HeadError::LateConnect,
            ) => (S::BAD_REQUEST, "malformed", Denied, Parse),
            Self::Target(_) => (S::BAD_REQUEST, "bad-target", Denied, Parse),
            Self::NotProxied => (S::BAD_REQUEST, "not-proxied", Denied, Parse),
            Self::Scheme(_) => (S::BAD_REQUEST, "scheme", Denied, Parse),
            Self::Upgrade => (S::BAD_REQUEST, "upgrade", Denied, Parse),
            Self::Misdirected { .. } => (S::MISDIRECTED_REQUEST, "misdirected", Denied, Parse),
            Self::NestedConnect => (S::METHOD_NOT_ALLOWED, "nested-connect", Denied, Parse),
            Self::ServerName { .. } => (S::MISDIRECTED_REQUEST, "server-name", Denied, Client),
            Self::NotHttp => (S::FORBIDDEN, "not-http", Denied, Client),
            Self::ClientTls(_) => (S::BAD_REQUEST, "client-tls", Allowed, Client),
            Self::Refused(Refusal::Host(ruling)) => (S::FORBIDDEN, ruling.code, Denied, Host),
            Self::Refused(Refusal::Address { ruling, .. }) => {
                (S::FORBIDDEN, ruling.code, Denied, Address)
            }
            Self::Refused(Refusal::Names { .. }) => (S::FORBIDDEN, "names-budget", Denied, Host),
            Self::Refused(Refusal::Resolve { error, .. }) => {
                let code = match error {
                    ResolveError::NotFound => "dns-not-found",
                    ResolveError::NoAddress => "dns-no-address",
                    ResolveError::Timeout => "dns-timeout",
                    ResolveError::Busy => "dns-busy",
                    ResolveError::Failed(_) => "dns-failed",
                };
                (S::BAD_GATEWAY, code, Allowed, Resolve)
            }
            Self::Revoked => (S::FORBIDDEN, "revoked", Denied, Relay),
            Self::Limited { .. } => (S::TOO_MANY_REQUESTS, "limit", Denied, Host),
            Self::Credential { .. } => (S::BAD_GATEWAY, "credential", Allowed, Address),
            Self::Dial(DialError::Refused) => (S::BAD_GATEWAY, "connect-refused", Allowed, Dial),
            Self::Dial(DialError::Timeout) => {
                (S::GATEWAY_TIMEOUT, "connect-timeout", Allowed, Dial)
            }
            Self::Dial(DialError::Unreachable) => {
                (S::BAD_GATEWAY, "connect-unreachable", Allowed, Dial)
            }
            Self::Dial(DialError::NoPort) => (S::BAD_GATEWAY, "connect-no-port", Allowed, Dial),
            Self::Dial(DialError::NoDescriptor) => {
                (S::BAD_GATEWAY, "connect-no-descriptor", Allowed, Dial)
            }
            Self::Dial(DialError::NoMemory) => (S::BAD_GATEWAY, "connect-no-memory", Allowed, Dial),
            Self::Parent(refusal) => {
                let code = match refusal {
                    ParentRefusal::Unreachable(_) => "parent-unreachable",
                    ParentRefusal::Timeout | ParentRefusal::Tls(TlsError::Timeout) => {
                        "parent-timeout"
                    }
                    ParentRefusal::Tls(_) => "parent-tls",
                    ParentRefusal::Malformed => "parent-malformed",
                    ParentRefusal::Unknown => "parent-auth",
                    ParentRefusal::Status(_) | ParentRefusal::Socks(_) => "parent-refused",
                };
                (S::BAD_GATEWAY, code, Allowed, Dial)
            }
            Self::Dial(DialError::Other(_)) => (S::BAD_GATEWAY, "connect-failed", Allowed, Dial),
            Self::OriginTls(error) => {
                let code = match error {
                    TlsError::Expired => "origin-cert-expired",
                    TlsError::WrongHost => "origin-cert-host",
                    TlsError::UnknownAuthority => "origin-cert-authority",
                    TlsError::Certificate(_) => "origin-cert",
                    TlsError::Timeout => "origin-tls-timeout",
                    TlsError::Handshake(_) => "origin-tls",
                };
                (S::BAD_GATEWAY, code, Allowed, Handshake)
            }
            Self::BadAnswer(_) => (S::BAD_GATEWAY, "bad-answer", Allowed, Answer),
            Self::Closed(_) => (S::BAD_GATEWAY, "origin-closed", Allowed, Answer),
            Self::FirstByte => (S::GATEWAY_TIMEOUT, "answer-timeout", Allowed, Answer),
            Self::ClientAbort => (S::BAD_REQUEST, "client-abort", Allowed, Relay),
            Self::Stalled => (S::GATEWAY_TIMEOUT, "stalled", Allowed, Relay),
            Self::Unidentified => (
                S::PROXY_AUTHENTICATION_REQUIRED,
                "unidentified",
                Denied,
                Parse,
            ),
            Self::NoPolicy => (S::FORBIDDEN, "no-policy", Denied, Parse),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", Denied, Parse),
            Self::NoRoom => (S::SERVICE_UNAVAILABLE, "memory", Denied, Parse),
            Self::LogFull => (S::SERVICE_UNAVAILABLE, LOG_FULL, Denied, Parse),
            Self::Internal(_) => (S::INTERNAL_SERVER_ERROR, "internal", Denied, Parse),
        };
        Facts {
            status,
            code,
            action,
            stage,
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(Refusal::Resolve { error, .. }) => match error {
                ResolveError::NotFound | ResolveError::NoAddress => false,
                ResolveError::Timeout | ResolveError::Busy | ResolveError::Failed(_) => true,
            },
            Self::OriginTls(error) => matches!(error, TlsError::Timeout),
            Self::Parent(refusal) => match refusal {
                ParentRefusal::Unknown => false,
                ParentRefusal::Tls(error) => matches!(error, TlsError::Timeout),
                _ => true,
            },
            Self::Limited { .. }
            | Self::Dial(_)
            | Self::Closed(_)
            | Self::FirstByte
            | Self::Stalled
            | Self::Busy
            | Self::NoRoom
            | Self::LogFull => true,
            Self::Head(_)
            | Self::Target(_)
            | Self::NotProxied
            | Self::Scheme(_)
            | Self::Upgrade
            | Self::Unidentified
            | Self::NoPolicy
            | Self::Misdirected { .. }
            | Self::NestedConnect
            | Self::ServerName { .. }
            | Self::NotHttp
            | Self::ClientTls(_)
            | Self::Refused(Refusal::Host(_) | Refusal::Address { .. } | Refusal::Names { .. })
            | Self::Revoked
            | Self::Credential { .. }
            | Self::BadAnswer(_)
            | Self::ClientAbort
            | Self::Internal(_) => false,
        }
    }

    /// The verdict behind it, where there is one.
    pub(crate) fn ruling(&self) -> Option<&Ruling> {
        match self {
            Self::Refused(
                Refusal::Host(ruling)
                | Refusal::Names { ruling, .. }
                | Refusal::Address { ruling, .. }
                | Refusal::Resolve { ruling, .. },
            ) => Some(ruling),
            _ => None,
        }
    }

    /// One sentence for people.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Head(error) => error.to_string(),
            Self::Target(text) | Self::Internal(text) => text.clone(),
            Self::NotProxied => {
                "this is a proxy: send it `GET http://host/path` or `CONNECT host:443`".into()
            }
            Self::Scheme(scheme) => {
                format!("scheme `{scheme}` is not supported: use `http`, or `CONNECT` for `https`")
            }
            Self::Upgrade => "only an upgrade to `websocket` is passed on".into(),
            Self::Misdirected { asked, connected } => {
                format!(
                    "the request is for `{asked}` and the connection was opened to `{connected}`"
                )
            }
            Self::NestedConnect => "`CONNECT` is not possible inside another connection".into(),
            Self::ServerName { asked } => {
                format!("the TLS server name is `{asked}` and not the `CONNECT` host")
            }
            Self::NotHttp => {
                "the connection carries neither TLS nor HTTP: a bypass rule would let it pass"
                    .into()
            }
            Self::ClientTls(error) => {
                format!(
                    "TLS with the client failed: {error}; it may not trust the sandbox's authority, or pin certificates, which needs a bypass rule"
                )
            }
            Self::Refused(Refusal::Host(ruling) | Refusal::Address { ruling, .. }) => {
                ruling.sentence.clone()
            }
            Self::Refused(Refusal::Resolve { error, hint, .. }) => match hint {
                Some(hint) => format!("{error}; {hint}"),
                None => error.to_string(),
            },
            Self::Refused(Refusal::Names { rule, wait, .. }) => format!(
                "`{rule}` is used up by other names; there is room in {} s",
                wait.as_secs() + 1
            ),
            Self::Limited { rule, wait } => format!(
                "`{rule}` is used up; there is room in {} ms",
                wait.as_millis()
            ),
            Self::Credential { name, error } => {
                format!("the credential `{name}` cannot be set: {error}")
            }
            Self::Unidentified => {
                "this proxy serves clients it knows: give it a user name and password".into()
            }
            Self::NoPolicy => "there is no policy for this client".into(),
            Self::Revoked => "the policy was changed and no longer allows this connection".into(),
            Self::Dial(error) => error.to_string(),
            Self::Parent(refusal) => format!("the parent proxy of this machine: {refusal}"),
            Self::OriginTls(error) => error.to_string(),
            Self::BadAnswer(what) => format!("the origin's answer is malformed: {what}"),
            Self::Closed(what) => format!("the origin closed the connection: {what}"),
            Self::FirstByte => "the origin did not answer in time".into(),
            Self::ClientAbort => "the client went away".into(),
            Self::Stalled => "the body stood still for too long".into(),
            Self::Busy => "too many connections or requests at once".into(),
            Self::NoRoom => "the proxy's memory is full of what is under way".into(),
            Self::LogFull => {
                "the request log cannot be written, and what cannot be recorded is not let through"
                    .into()
            }
        }
    }
}
