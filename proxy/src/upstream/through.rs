//! Reaching a target: directly, or through a parent.

use std::io;
use std::time::Duration;

use http::HeaderValue;
use policy_lang::{Host, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_socks::Error;
use tokio_socks::tcp::Socks5Stream;

use super::dial;
use super::parent::{Parent, Speaks};
use super::stream::Stream;
use crate::cause::{Cause, ParentRefusal};
use crate::context::Context;
use crate::gate::{Permit, Refusal, Route};
use crate::record::Record;

/// Longest head of a parent's answer.
const MAX_HEAD: usize = 8 * 1024;

/// Addresses that a parent is asked for, one after the other, where it cannot reach the first.
const MAX_TRIES: usize = 3;

/// A connection for one target.
pub(crate) struct Reached {
    pub(crate) stream: Stream,
    pub(crate) permit: Permit,
    /// Set if it ends at a parent that wants requests in absolute form, with what it is told of us.
    pub(crate) absolute: Option<Option<HeaderValue>>,
}

/// Connects to one of the route's addresses, or to the parent that is responsible for its target.
pub(crate) async fn reach(
    context: &Context,
    route: &Route,
    tls: bool,
    record: &mut Record,
) -> Result<Reached, Cause> {
    let deadline = context.limits.connect;
    let Some(parent) = context.parents.of(&route.target, tls) else {
        if let Some(error) = route.unresolved.clone() {
            // There is a parent for the other scheme only.
            return Err(Cause::Refused(Refusal::Resolve {
                error,
                ruling: route.verdict.clone(),
                hint: None,
            }));
        }
        let (stream, permit) = dial(&route.permits, deadline).await.map_err(Cause::Dial)?;
        record.dialled(permit.address());
        return Ok(Reached {
            stream: Stream::Plain(stream),
            permit,
            absolute: None,
        });
    };
    let first = route.permits.first().ok_or_else(no_answer)?;
    let literal = matches!(route.target.host(), Host::Addr(_));
    let nameable = route.reach.is_explicit() || literal || context.parents.by_name();
    let absolute = !tls && parent.speaks != Speaks::Socks && nameable;
    let by_name = is_by_name(context, &route.target, first, absolute);
    record.via(&parent.authority, by_name);
    if absolute {
        record.dialled(first.address());
        return Ok(Reached {
            stream: hop(context, parent).await?,
            permit: first.clone(),
            absolute: Some(parent.authorization.clone()),
        });
    }
    let mut refused = no_answer();
    for permit in route.permits.iter().take(MAX_TRIES) {
        record.dialled(permit.address());
        let authority = match permit.address() {
            Some(address) if !by_name => address.to_string(),
            _ => route.target.to_string(),
        };
        match timeout(deadline, tunnel(context, parent, &authority)).await {
            Ok(Ok(stream)) => {
                return Ok(Reached {
                    stream,
                    permit: permit.clone(),
                    absolute: None,
                });
            }
            // It could not reach this address, and may reach another.
            Ok(Err(
                cause @ Cause::Parent(ParentRefusal::Status(500..) | ParentRefusal::Socks(_)),
            )) => {
                refused = cause;
            }
            Ok(Err(cause)) => return Err(cause),
            Err(_) => refused = Cause::Parent(ParentRefusal::Timeout),
        }
    }
    Err(refused)
}

/// Whether the parent is told the name of `target`, and so chooses the address.
pub(super) fn is_by_name(
    context: &Context,
    target: &Target,
    permit: &Permit,
    absolute: bool,
) -> bool {
    let named = matches!(target.host(), Host::Name(_));
    named && (absolute || context.parents.by_name() || permit.address().is_none())
}

fn no_answer() -> Cause {
    Cause::Parent(ParentRefusal::Timeout)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the parent is the operator's choice: no guest has a say in its name or address"
)]
async fn connect(parent: &Parent, deadline: Duration) -> Result<TcpStream, Cause> {
    let connected = timeout(deadline, TcpStream::connect(&parent.authority)).await;
    let unreachable = |error: io::Error| Cause::Parent(ParentRefusal::Unreachable(error.kind()));
    let stream = connected.map_err(|_| no_answer())?.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}

/// A connection on which the parent can be spoken to.
async fn hop(context: &Context, parent: &Parent) -> Result<Stream, Cause> {
    let socket = connect(parent, context.limits.connect).await?;
    let Speaks::Https(name) = &parent.speaks else {
        return Ok(Stream::Plain(socket));
    };
    let (socket, deadline) = (Stream::Plain(socket), context.limits.handshake);
    let connector = &context.connector;
    match connector.connect_parent(name, socket, deadline).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(Cause::Parent(ParentRefusal::Tls(error))),
    }
}

/// A tunnel through the parent. Nothing is sent into it before the parent consents.
async fn tunnel(context: &Context, parent: &Parent, authority: &str) -> Result<Stream, Cause> {
    if parent.speaks == Speaks::Socks {
        let stream = connect(parent, context.limits.connect).await?;
        let stream = by_socks(parent, authority, stream).await;
        return stream.map(Stream::Plain);
    }
    let mut stream = hop(context, parent).await?;
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(authorization) = &parent.authorization {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(authorization.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let broken = |error: io::Error| Cause::Parent(ParentRefusal::Unreachable(error.kind()));
    stream.write_all(&head).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    match answer(&mut stream).await.map_err(broken)? {
        Some(200..=299) => Ok(stream),
        Some(407) => Err(Cause::Parent(ParentRefusal::Unknown)),
        Some(status) => Err(Cause::Parent(ParentRefusal::Status(status))),
        None => Err(Cause::Parent(ParentRefusal::Malformed)),
    }
}

/// The same through a parent that speaks SOCKS 5 (RFC 1928).
async fn by_socks(parent: &Parent, authority: &str, stream: TcpStream) -> Result<TcpStream, Cause> {
    let reached = match parent.login() {
        None => Socks5Stream::connect_with_socket(stream, authority).await,
        Some((name, password)) => {
            let (name, password) = (name.as_str(), password.as_str());
            Socks5Stream::connect_with_password_and_socket(stream, authority, name, password).await
        }
    };
    let refusal = |error| match error {
        Error::Io(error) => ParentRefusal::Unreachable(error.kind()),
        Error::AuthorizationRequired
        | Error::NoAcceptableAuthMethods
        | Error::UnknownAuthMethod
        | Error::PasswordAuthFailure(_)
        | Error::InvalidAuthValues(_) => ParentRefusal::Unknown,
        Error::GeneralSocksServerFailure => ParentRefusal::Socks("it failed"),
        Error::ConnectionNotAllowedByRuleset => ParentRefusal::Socks("its rules forbid it"),
        Error::NetworkUnreachable => ParentRefusal::Socks("network unreachable"),
        Error::HostUnreachable => ParentRefusal::Socks("host unreachable"),
        Error::ConnectionRefused => ParentRefusal::Socks("connection refused"),
        Error::TtlExpired => ParentRefusal::Socks("time to live expired"),
        _ => ParentRefusal::Malformed,
    };
    reached
        .map(Socks5Stream::into_inner)
        .map_err(|error| Cause::Parent(refusal(error)))
}

/// The status of the parent's answer. COST: a read for each byte, about a hundred (without TLS, a system call): what follows the head is the origin's,
/// and an origin may speak first.
async fn answer(stream: &mut Stream) -> io::Result<Option<u16>> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Ok(None);
        }
        head.push(stream.read_u8().await?);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    let http = words
        .next()
        .is_some_and(|version| version.starts_with("HTTP/1."));
    Ok(words
        .next()
        .and_then(|status| status.parse().ok())
        .filter(|_| http))
}
