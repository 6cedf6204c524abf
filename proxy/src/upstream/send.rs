//! Getting one request to an origin and the head of its answer back.

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::body::RequestBody;
use super::connect;
use super::pool::{Connection, Key};
use super::sender::Sender;
use crate::audit::Stage;
use crate::cause::{Cause, ParentRefusal};
use crate::context::Context;
use crate::gate::Route;
use crate::record::Record;

/// Sends on a kept connection or, if that turns out to be stale, on a new one.
pub(crate) async fn send(
    context: &Context,
    route: &Route,
    key: &Key,
    mut request: Request<RequestBody>,
    record: &mut Record,
) -> Result<(Response<Incoming>, Connection), Cause> {
    let mut connection = connect::connection(context, route, key, record).await?;
    loop {
        record.stage(Stage::Answer);
        let reused = !connection.fresh;
        let spare = (reused && is_replayable(&request)).then(|| replay(&request, record));
        let failed = match answered(context, &mut connection, request, record).await? {
            Ok(response) if is_parents(&connection, &response) => {
                return Err(Cause::Parent(ParentRefusal::Unknown));
            }
            Ok(response) => return Ok((response, connection)),
            Err(failed) => failed,
        };
        let cause = Cause::Closed(failed.error.to_string());
        // Only what certainly did no harm is sent again, and only once: the second connection is new.
        request = match failed.unsent.or(spare) {
            Some(request) if reused => request,
            _ => return Err(cause),
        };
        connection = Box::pin(connect::fresh(context, route, key, record)).await?;
    }
}

/// A parent that does not know us. The guest has nothing to do with it, and could not answer.
fn is_parents(connection: &Connection, response: &Response<Incoming>) -> bool {
    matches!(connection.sender, Sender::Parent(..))
        && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
}

struct Failed {
    error: hyper::Error,
    /// The request, if not a byte of it was sent.
    unsent: Option<Request<RequestBody>>,
}

/// The answer's head. Waits as long as the request's body moves, and then for the origin to think.
async fn answered(
    context: &Context,
    connection: &mut Connection,
    request: Request<RequestBody>,
    record: &Record,
) -> Result<Result<Response<Incoming>, Failed>, Cause> {
    if let Err(error) = connection.sender.ready().await {
        return Ok(Err(Failed {
            error,
            unsent: Some(request),
        }));
    }
    let traffic = record.traffic();
    let mut answer = std::pin::pin!(connection.sender.send(request));
    loop {
        let before = traffic.up();
        let sending = !traffic.is_sent();
        let patience = if sending {
            context.limits.body_idle
        } else {
            context.limits.first_byte
        };
        match timeout(patience, answer.as_mut()).await {
            Ok(Ok(response)) => return Ok(Ok(response)),
            Ok(Err(mut error)) => {
                let unsent = error.take_message();
                return Ok(Err(Failed {
                    error: error.into_error(),
                    unsent,
                }));
            }
            Err(_) if sending && (traffic.is_sent() || traffic.up() != before) => {}
            Err(_) if sending => return Err(Cause::Stalled),
            Err(_) => return Err(Cause::FirstByte),
        }
    }
}

/// RFC 9110 §9.2.2: an idempotent request may be sent again by a proxy.
fn is_replayable(request: &Request<RequestBody>) -> bool {
    request.body().is_empty()
        && matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS
        )
}

fn replay(request: &Request<RequestBody>, record: &Record) -> Request<RequestBody> {
    let mut again = Request::new(RequestBody::empty(record.traffic()));
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    again
}
