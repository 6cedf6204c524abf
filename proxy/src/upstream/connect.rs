//! From a route to a connection that takes requests: a kept one, or a new one.

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::RequestBody;
use super::dial;
use super::pool::{Connection, Key};
use crate::audit::Stage;
use crate::cause::Cause;
use crate::context::Context;
use crate::gate::{Permit, Route};
use crate::record::Record;

/// Bytes of an answer's head, and of body read ahead of the client.
const READ_BUFFER: usize = 64 * 1024;

/// A connection to the target of `route`, over TLS if `tls`.
pub(crate) async fn connection(
    context: &Context,
    route: &Route,
    tls: bool,
    record: &mut Record,
) -> Result<Connection, Cause> {
    let key = Key {
        target: route.target.clone(),
        tls,
    };
    if let Some(connection) = context
        .pool
        .take(&key, |permit| context.gate.stands(permit, route.bypass))
    {
        record.dialled(connection.permit.address());
        return Ok(connection);
    }
    fresh(context, route, tls, record).await
}

/// A new connection to the target of `route`.
pub(crate) async fn fresh(
    context: &Context,
    route: &Route,
    tls: bool,
    record: &mut Record,
) -> Result<Connection, Cause> {
    record.stage(Stage::Dial);
    let (stream, permit) = dial(&route.permits, context.limits.connect)
        .await
        .map_err(Cause::Dial)?;
    record.dialled(permit.address());
    if !tls {
        return open(context, stream, permit).await;
    }
    record.stage(Stage::Handshake);
    let stream = context
        .connector
        .connect(&route.target, stream, context.limits.handshake)
        .await
        .map_err(Cause::OriginTls)?;
    open(context, stream, permit).await
}

async fn open<I>(context: &Context, io: I, permit: Permit) -> Result<Connection, Cause>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_BUFFER)
        .handshake::<_, RequestBody>(TokioIo::new(io))
        .await
        .map_err(|error| Cause::Closed(error.to_string()))?;
    // The task ends when the sender is dropped or the origin closes; what went wrong, the request's own future tells.
    context.tasks.spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    Ok(Connection {
        sender,
        permit,
        fresh: true,
    })
}
