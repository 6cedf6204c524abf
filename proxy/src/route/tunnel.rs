//! Bytes passed on unread.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use policy_lang::{Host, HostName, Target};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use crate::audit::{self, Carriage};
use crate::cause::Cause;
use crate::context::Context;
use crate::gate::{Permit, Route};
use crate::io::relay::{Patience, relay};
use crate::options::Limits;
use crate::record::Record;
use crate::stage::Stage;
use crate::tls::client_hello::{self, ServerName, Sniff};
use crate::tls::server::UNRECOGNIZED_NAME;
use crate::upstream::through::{Reached, reach};

/// The proxy's consent to a `CONNECT`.
pub(crate) const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Room for a hello, so that it comes in one read: with a post-quantum key share it has some 1,700 bytes.
const HELLO: usize = 2048;

/// Opens a bypassed `CONNECT`. The first bytes are looked at all the same: TLS must be for the host that was admitted.
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
    record.admitted(&route, Carriage::Bypass);
    record.stage(audit::Stage::Dial);
    let (mut origin, permit) = match reach(&context, &route, true, &mut record).await {
        Ok(Reached { stream, permit, .. }) => (stream, permit),
        Err(cause) => {
            let _ = client
                .write_all(&context.denial(&cause, Some(&route.target)).to_bytes())
                .await;
            record.failed(&cause);
            return None;
        }
    };
    client.write_all(ESTABLISHED).await.ok()?;
    record.tunnel();
    record.answered(200);
    let opening = first_bytes(
        &route.target,
        early,
        &mut client,
        &mut origin,
        &record,
        &context.limits,
    );
    let first = tokio::select! {
        first = opening => first,
        cause = interrupted(&context, Some(&permit), true) => Err(cause),
    };
    let first = match first {
        Ok(first) => first,
        Err(cause) => {
            if matches!(cause, Cause::ServerName { .. }) {
                let _ = client.write_all(&UNRECOGNIZED_NAME).await;
            }
            record.failed(&cause);
            return None;
        }
    };
    record.traffic().add_up(first.len());
    // TLS to a parent keeps what the socket does not take at once.
    if origin.write_all(&first).await.is_err() || origin.flush().await.is_err() {
        record.failed(&Cause::Closed("it took no bytes".into()));
        return None;
    }
    Some(Stage::last(async move {
        let both = (&mut client, &mut origin);
        carry(&context, Some(&permit), true, both.0, both.1, record).await;
    }))
}

/// Relays until both sides are done, or the policy takes the permission back.
pub(crate) async fn carry<C, O>(
    context: &Context,
    permit: Option<&Permit>,
    bypass: bool,
    client: &mut C,
    origin: &mut O,
    mut record: Record,
) where
    C: AsyncRead + AsyncWrite + Unpin + 'static,
    O: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let traffic = record.traffic();
    let patience = Patience {
        idle: context.limits.tunnel_idle,
        stall: context.limits.body_idle,
    };
    let relayed = relay(client, origin, patience, &traffic);
    let cause = tokio::select! {
        outcome = relayed => match outcome {
            Ok(()) => return record.done(),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Cause::Stalled,
            Err(error) => Cause::Closed(error.to_string()),
        },
        spent = traffic.spent() => spent.into(),
        cause = interrupted(context, permit, bypass) => cause,
    };
    record.failed(&cause);
}

/// Returns when what `permit` stands for has to end, whatever its state: the policy takes it back, or the proxy stops.
pub(crate) async fn interrupted(context: &Context, permit: Option<&Permit>, bypass: bool) -> Cause {
    tokio::select! {
        () = revoked(context, permit, bypass) => Cause::Revoked,
        () = context.stopped.cancelled() => Cause::Closed("the proxy stops".into()),
    }
}

/// Returns when a policy comes into force under which `permit` no longer stands.
async fn revoked(context: &Context, permit: Option<&Permit>, bypass: bool) {
    let mut changes = context.live.changes();
    loop {
        if permit.is_some_and(|permit| !context.gate.stands(permit, bypass)) {
            return;
        }
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// The client's first bytes, once they are known to be no TLS for another host. What the origin says meanwhile is
/// passed on: with some protocols it speaks first.
async fn first_bytes<C, O>(
    target: &Target,
    early: Bytes,
    client: &mut C,
    origin: &mut O,
    record: &Record,
    limits: &Limits,
) -> Result<Bytes, Cause>
where
    C: AsyncRead + AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite + Unpin,
{
    let mut first = BytesMut::from(&*early);
    first.reserve(HELLO);
    let mut greeting = [0; 4096];
    while first.is_empty() {
        tokio::select! {
            read = client.read_buf(&mut first) => match read {
                Ok(0) | Err(_) => return Ok(Bytes::new()),
                Ok(_) => {}
            },
            read = origin.read(&mut greeting) => {
                let read = read.unwrap_or(0);
                let Some(greeting) = greeting.get(..read).filter(|_| read > 0) else { return Ok(first.freeze()) };
                record.traffic().add_down(read);
                match timeout(limits.tunnel_idle, client.write_all(greeting)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err(Cause::ClientAbort),
                    Err(_) => return Err(Cause::Stalled),
                }
            }
            () = sleep(limits.tunnel_idle) => return Err(Cause::Stalled),
        }
    }
    match timeout(limits.head, hello(client, &mut first)).await {
        Ok(sniff) => named(target, sniff?).map(|()| first.freeze()),
        Err(_) => Err(Cause::Stalled),
    }
}

/// Reads until `first` can be told to be a TLS hello or not.
pub(crate) async fn hello<C: AsyncRead + Unpin>(
    client: &mut C,
    first: &mut BytesMut,
) -> Result<Sniff, Cause> {
    loop {
        match client_hello::sniff(first) {
            Sniff::Partial => {}
            known => return Ok(known),
        }
        first.reserve(HELLO);
        match client.read_buf(first).await {
            Ok(0) | Err(_) => return Err(Cause::ClientAbort),
            Ok(_) => {}
        }
    }
}

/// A tunnel that is not read must be for the host that was judged; without a name in the hello nobody knows.
fn named(target: &Target, sniff: Sniff) -> Result<(), Cause> {
    let unnamed = |what: &str| {
        Err(Cause::ServerName {
            asked: what.to_owned(),
        })
    };
    match sniff {
        Sniff::Other | Sniff::Partial => Ok(()),
        Sniff::Malformed => unnamed("(unreadable)"),
        Sniff::Hello(hello) => match &hello.server_name {
            ServerName::Host(name) if is_for(target, name) => Ok(()),
            ServerName::Host(name) => unnamed(name),
            ServerName::Invalid => unnamed("(invalid)"),
            // TLS sends no name for an address (RFC 6066 §3), and an address is what was judged.
            ServerName::Absent if matches!(target.host(), Host::Addr(_)) => Ok(()),
            ServerName::Absent => unnamed("(none)"),
        },
    }
}

/// Whether a TLS server name is the host of `target`. Both go through the same parser; a server name has no port.
pub(crate) fn is_for(target: &Target, server_name: &str) -> bool {
    let named = HostName::parse(server_name).map(Host::Name);
    named.is_ok_and(|named| named == *target.host())
}
