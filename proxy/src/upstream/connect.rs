//! From a route to a connection that takes requests: a kept one, or a new one.

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::RequestBody;
use super::http1::{Form, Wire};
use super::pool::{Connection, Key};
use super::sender::{Protocol, Sender};
use super::stream::Stream;
use super::through::{Reached, is_by_name, reach};
use crate::audit::Stage;
use crate::cause::Cause;
use crate::context::Context;
use crate::gate::{Permit, Route};
use crate::panics::Counted;
use crate::record::Record;

/// Bytes of a request's body that wait to be written to one stream.
const SEND_BUFFER: usize = 64 * 1024;

/// Flow-control windows of HTTP/2. COST: what a client that stops reading makes the proxy hold, at most.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// Decoded size of an answer's fields.
const MAX_FIELDS_SIZE: u32 = 64 * 1024;

/// A connection to the target of `route`, as `key` says.
pub(crate) async fn connection(
    context: &Context,
    route: &Route,
    key: &Key,
    record: &mut Record,
) -> Result<Connection, Cause> {
    let carries = |permit: &Permit| context.gate.carries(permit, key.reach);
    if let Some(connection) = context.pool.take(key, carries) {
        if let Some(parent) = context.parents.of(&key.target, key.tls) {
            let absolute = matches!(&connection.sender, Sender::Http1(wire) if wire.is_to_parent());
            let by_name = is_by_name(context, &key.target, &connection.permit, absolute);
            record.via(&parent.authority, by_name);
        }
        record.dialled(connection.permit.address());
        return Ok(connection);
    }
    Box::pin(fresh(context, route, key, record)).await
}

/// A new connection to the target of `route`, which later requests may share if its protocol can do that. COST: to be
/// boxed by who calls it, so that the many requests on kept connections do not carry the state of a handshake.
pub(crate) async fn fresh(
    context: &Context,
    route: &Route,
    key: &Key,
    record: &mut Record,
) -> Result<Connection, Cause> {
    let connection = open(context, route, key, record).await?;
    context.pool.share(key, &connection);
    Ok(connection)
}

async fn open(
    context: &Context,
    route: &Route,
    key: &Key,
    record: &mut Record,
) -> Result<Connection, Cause> {
    record.stage(Stage::Dial);
    let Reached {
        stream,
        permit,
        absolute,
    } = reach(context, route, key.tls, record).await?;
    let mut sender = if key.tls {
        record.stage(Stage::Handshake);
        let stream = context
            .connector
            .connect(
                &route.target,
                key.protocol,
                stream,
                context.limits.handshake,
            )
            .await
            .map_err(Cause::OriginTls)?;
        let protocol = Protocol::negotiated(stream.get_ref().1.alpn_protocol());
        if key.protocol == Protocol::Http2 {
            context.mirror.learn(&route.target, protocol);
        }
        match protocol {
            Protocol::Http1 => {
                Sender::Http1(Wire::new(Stream::Tls(Box::new(stream)), Form::Origin))
            }
            Protocol::Http2 => over_http2(stream, Counted(context.recorder.clone()))
                .await
                .map_err(|error| Cause::Closed(error.to_string()))?,
        }
    } else {
        let form = absolute.map_or(Form::Origin, Form::Absolute);
        Sender::Http1(Wire::new(stream, form))
    };
    if let Sender::Http1(wire) = &mut sender
        && !wire.is_quiet()
    {
        return Err(Cause::Closed(
            "it spoke before it was asked, or left".into(),
        ));
    }
    Ok(Connection {
        sender,
        permit,
        fresh: true,
    })
}

/// Learns what the origin speaks by connecting to it; the connection then waits for the first request.
pub(crate) async fn protocol(
    context: &Context,
    route: &Route,
    record: &mut Record,
) -> Result<Protocol, Cause> {
    if let Some(known) = context.mirror.known(&route.target) {
        return Ok(known);
    }
    let key = Key {
        target: route.target.clone(),
        reach: route.reach,
        tls: true,
        protocol: Protocol::Http2,
        identity: None,
    };
    let connection = Box::pin(open(context, route, &key, record)).await?;
    let protocol = connection.protocol();
    // A client that is then offered HTTP/1.1 only will look for it under that.
    context.pool.offer(Key { protocol, ..key }, connection);
    Ok(protocol)
}

/// The connection, and each body that is sent on it, has a task in `tasks`.
async fn over_http2<I>(io: I, tasks: Counted) -> hyper::Result<Sender>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_FIELDS_SIZE)
        .max_send_buf_size(SEND_BUFFER)
        .handshake::<_, RequestBody>(TokioIo::new(io))
        .await?;
    tasks.spawn(async move {
        // What went wrong with it, its requests record.
        let _ = connection.await;
    });
    Ok(Sender::Http2(sender))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context as Cx, Poll};

    use http::Request;
    use tokio::io::{ReadBuf, duplex, join, sink};

    use super::*;
    use crate::audit::Log;
    use crate::record::Recorder;

    /// An origin whose bytes cannot be read without a panic.
    struct Injected;

    impl AsyncRead for Injected {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Cx<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            panic!("injected")
        }
    }

    /// Waits until one panic was counted.
    async fn counted(recorder: &Recorder) {
        let one = async {
            while recorder.counters().panics == 0 {
                tokio::task::yield_now().await;
            }
        };
        let patience = std::time::Duration::from_secs(15);
        tokio::time::timeout(patience, one).await.unwrap();
        assert_eq!(recorder.counters().panics, 1);
        assert_eq!(recorder.troubles()[0].reason.as_deref(), Some("internal"));
    }

    /// F31
    #[tokio::test]
    async fn a_panic_of_a_connection_over_http2_is_counted() {
        let recorder = Arc::new(Recorder::new("s1", Arc::new(Log::none())));
        let io = join(Injected, sink());
        let sender = over_http2(io, Counted(recorder.clone())).await.unwrap();
        counted(&recorder).await;
        let Sender::Http2(sender) = sender else {
            panic!("asked for over HTTP/2");
        };
        assert!(sender.is_closed());
    }

    /// F31
    #[tokio::test]
    async fn a_panic_of_a_body_over_http2_is_counted() {
        let recorder = Arc::new(Recorder::new("s1", Arc::new(Log::none())));
        let (io, _origin) = duplex(64 * 1024);
        let sender = over_http2(io, Counted(recorder.clone())).await.unwrap();
        let Sender::Http2(mut sender) = sender else {
            panic!("asked for over HTTP/2");
        };
        let request = Request::post("https://x.test/").body(RequestBody::panicking());
        let _waiting = tokio::spawn(sender.send_request(request.unwrap()));
        counted(&recorder).await;
    }
}
