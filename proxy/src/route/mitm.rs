//! Interception: TLS ended with a leaf for the admitted host, requests judged one by one, TLS made anew.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use policy_lang::Host;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::tunnel::{ESTABLISHED, hello, interrupted, is_for};
use crate::audit;
use crate::cause::Cause;
use crate::context::Context;
use crate::downstream::{self, Conn};
use crate::gate::Route;
use crate::io::prefixed::Prefixed;
use crate::record::Record;
use crate::request::Scope;
use crate::session::Session;
use crate::stage::Stage;
use crate::tls::client_hello::{ClientHello, ServerName, Sniff};
use crate::tls::server::UNRECOGNIZED_NAME;
use crate::upstream::connect;
use crate::upstream::sender::Protocol;

/// Longest method a plain request in a tunnel may begin with.
const MAX_METHOD: usize = 24;

/// Begins an intercepted `CONNECT`. Its own line in the log is written if it ends without a request; the first one has
/// its place.
pub(crate) async fn serve<I>(
    context: Arc<Context>,
    route: Arc<Route>,
    mut client: I,
    early: Bytes,
    mut record: Record,
) -> Option<Stage>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    client.write_all(ESTABLISHED).await.ok()?;
    record.stage(audit::Stage::Client);
    let mut first = BytesMut::from(&*early);
    let sniffing = tokio::select! {
        sniffing = timeout(context.limits.head, hello(&mut client, &mut first)) => sniffing,
        cause = interrupted(&context, route.permits.first(), false) => {
            record.failed(&cause);
            return None;
        }
    };
    let sniffed = match sniffing {
        Ok(Ok(sniffed)) => sniffed,
        Ok(Err(cause)) => {
            record.failed(&cause);
            record.stage(audit::Stage::Client);
            return None;
        }
        Err(_) => {
            record.failed(&Cause::NotHttp);
            return None;
        }
    };
    let client = Prefixed::new(first.freeze(), client);
    match sniffed {
        Sniff::Hello(hello) => Some(Stage::step(intercept(
            context, route, client, hello, record,
        ))),
        Sniff::Other if looks_like_http(client.prefix()) => {
            Some(inside(context, &route, false, client, record))
        }
        Sniff::Other | Sniff::Malformed | Sniff::Partial => {
            record.failed(&Cause::NotHttp);
            None
        }
    }
}

async fn intercept<I>(
    context: Arc<Context>,
    route: Arc<Route>,
    client: Prefixed<I>,
    hello: ClientHello,
    mut record: Record,
) -> Option<Stage>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Err(cause) = named(&route, &hello) {
        let (_, mut client) = client.into_parts();
        let _ = client.write_all(&UNRECOGNIZED_NAME).await;
        record.failed(&cause);
        return None;
    }
    let host = match route.target.host() {
        Host::Name(name) => name.to_string(),
        Host::Addr(address) => address.to_string(),
    };
    let leaf = match route.permits.is_empty() {
        true => context.minter.passing_leaf(&host),
        false => context.minter.leaf(&host),
    };
    let leaf = match leaf {
        Ok(leaf) => leaf,
        Err(error) => {
            record.failed(&Cause::Internal(error.to_string()));
            return None;
        }
    };
    let alpn = offer(&context, &route, &hello, &mut record).await;
    let handshake = context
        .acceptor
        .accept(leaf, alpn, client, context.limits.handshake);
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        cause = interrupted(&context, route.permits.first(), false) => {
            record.failed(&cause);
            return None;
        }
    };
    match shaken {
        Ok(client) => match Protocol::negotiated(client.get_ref().1.alpn_protocol()) {
            Protocol::Http1 => Some(inside(context, &route, true, client, record)),
            Protocol::Http2 => Some(streams(context, &route, client, record)),
        },
        Err(error) => {
            record.failed(&Cause::ClientTls(error.to_string()));
            None
        }
    }
}

/// What the client is offered: what it asked for, as far as the origin speaks it too.
async fn offer(
    context: &Context,
    route: &Route,
    hello: &ClientHello,
    record: &mut Record,
) -> Vec<Vec<u8>> {
    let asked = |protocol: Protocol| hello.alpn.iter().any(|asked| asked == protocol.alpn());
    let offered = match (asked(Protocol::Http2), asked(Protocol::Http1)) {
        (false, false) => return Vec::new(),
        (false, true) => Protocol::Http1,
        // Nothing else will do for this client, so the proxy bridges if the origin cannot.
        (true, false) => Protocol::Http2,
        // An origin that cannot be reached is told in the answer to the request.
        (true, true) if route.permits.is_empty() => Protocol::Http1,
        (true, true) => connect::protocol(context, route, record)
            .await
            .unwrap_or(Protocol::Http1),
    };
    record.stage(audit::Stage::Client);
    vec![offered.alpn().to_vec()]
}

/// HTTP/2 requests inside the tunnel, all for its target.
fn streams<I>(context: Arc<Context>, route: &Route, client: I, record: Record) -> Stage
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let scope = Scope::Inside {
        target: route.target.clone(),
        tls: true,
    };
    let permit = route.permits.first().cloned();
    let session = Session::new(context, scope, permit).opened_by(record);
    downstream::http2(Arc::new(session), client)
}

/// Requests inside the tunnel, all for its target.
fn inside<I>(context: Arc<Context>, route: &Route, tls: bool, client: I, record: Record) -> Stage
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let conn = Conn::new(client, context.limits.clone());
    let scope = Scope::Inside {
        target: route.target.clone(),
        tls,
    };
    let permit = route.permits.first().cloned();
    let session = Session::new(context, scope, permit).opened_by(record);
    Stage::step(downstream::serve(Arc::new(session), conn, None))
}

fn named(route: &Route, hello: &ClientHello) -> Result<(), Cause> {
    match &hello.server_name {
        // Our leaf is for the host that was judged, and so is everything behind it.
        ServerName::Absent => Ok(()),
        ServerName::Host(name) if is_for(&route.target, name) => Ok(()),
        ServerName::Host(name) => Err(Cause::ServerName {
            asked: name.clone(),
        }),
        ServerName::Invalid => Err(Cause::ServerName {
            asked: "(invalid)".into(),
        }),
    }
}

/// A method and a space, or the beginning of a method.
fn looks_like_http(first: &[u8]) -> bool {
    let method = first
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase())
        .count();
    (1..=MAX_METHOD).contains(&method) && matches!(first.get(method), None | Some(b' '))
}

#[cfg(test)]
mod tests {
    use super::looks_like_http;

    #[test]
    fn rows() {
        let rows: &[(&[u8], bool)] = &[
            (b"GET / HTTP/1.1\r\n", true),
            (b"G", true),
            (b"SSH-2.0-OpenSSH_9.2\r\n", false),
            (b"\0\0", false),
            (b"EHLO", true), // cut short by nature; the strict head check meets the rest
            (b"220 smtp", false),
        ];
        for (first, expected) in rows {
            assert_eq!(
                looks_like_http(first),
                *expected,
                "{}",
                first.escape_ascii()
            );
        }
    }
}
