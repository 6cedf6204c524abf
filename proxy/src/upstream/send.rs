//! Getting one request to an origin and the head of its answer back.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::client::conn::http2::SendRequest;
use tokio::time::timeout;

use super::answer::OriginBody;
use super::body::{Expect, Expecting, RequestBody};
use super::connect;
use super::http1::{self, Wire};
use super::pool::{Connection, Key};
use super::sender::{Sender, to_http2};
use crate::audit::Stage;
use crate::cause::{Cause, ParentRefusal};
use crate::context::Context;
use crate::gate::{Permit, Route};
use crate::record::{Record, Recorder};

/// Sends on a kept connection or, if that turns out to be stale, on a new one.
pub(crate) async fn send(
    context: &Context,
    route: &Route,
    key: &Key,
    request: Request<RequestBody>,
    expect: Option<&Expecting>,
    record: &mut Record,
) -> Result<(Response<OriginBody>, Permit), Cause> {
    let mut connection = connect::connection(context, route, key, record).await?;
    let (parts, mut body) = request.into_parts();
    loop {
        record.stage(Stage::Answer);
        let Connection {
            sender,
            permit,
            fresh,
        } = connection;
        let replayable = is_replayable(&parts, &body);
        let parent = matches!(&sender, Sender::Http1(wire) if wire.is_to_parent());
        let failed = match answered(context, sender, &parts, body, expect, record).await? {
            // A parent that does not know us. The guest has nothing to do with it, and could not answer.
            Ok(response)
                if parent && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
            {
                return Err(Cause::Parent(ParentRefusal::Unknown));
            }
            Ok(response) => return Ok((response, permit)),
            Err(failed) => failed,
        };
        // Only what certainly did no harm is sent again, and only once: the second connection is new.
        body = match failed.unsent {
            Some(body) if !fresh => body,
            None if !fresh && replayable => RequestBody::empty(record.traffic()),
            _ => return Err(failed.cause),
        };
        connection = Box::pin(connect::fresh(context, route, key, record)).await?;
    }
}

struct Failed {
    cause: Cause,
    /// The request's body, if not a byte of the request was sent.
    unsent: Option<RequestBody>,
}

/// The answer's head. Waits as long as the request's body moves, and then for the origin to think.
async fn answered(
    context: &Context,
    sender: Sender,
    parts: &Parts,
    body: RequestBody,
    expect: Option<&Expecting>,
    record: &Record,
) -> Result<Result<Response<OriginBody>, Failed>, Cause> {
    let traffic = record.traffic();
    let allowance = context.limits.body_idle;
    let answer = async {
        match sender {
            Sender::Http1(wire) => {
                over_http1(wire, parts, body, expect, allowance, &context.recorder).await
            }
            // COST: boxed, because the state of an HTTP/2 stream is large and HTTP/1 does without.
            Sender::Http2(sender) => Box::pin(over_http2(sender, parts, body, expect)).await,
        }
    };
    let mut answer = std::pin::pin!(answer);
    loop {
        let before = traffic.up();
        let sending = !traffic.is_sent();
        let patience = if sending {
            allowance
        } else {
            context.limits.first_byte
        };
        match timeout(patience, answer.as_mut()).await {
            Ok(answered) => return Ok(answered),
            Err(_) if sending && (traffic.is_sent() || traffic.up() != before) => {}
            Err(_) if sending => return Err(Cause::Stalled),
            Err(_) => return Err(Cause::FirstByte),
        }
    }
}

async fn over_http1(
    wire: Wire,
    parts: &Parts,
    body: RequestBody,
    expect: Option<&Expecting>,
    allowance: Duration,
    recorder: &Arc<Recorder>,
) -> Result<Response<OriginBody>, Failed> {
    let exchanged = http1::exchange(wire, parts, body, expect, allowance, recorder).await;
    let response = exchanged.map_err(|error| Failed {
        cause: error.into(),
        unsent: None,
    })?;
    Ok(response.map(OriginBody::Http1))
}

async fn over_http2(
    mut sender: SendRequest<RequestBody>,
    parts: &Parts,
    body: RequestBody,
    expect: Option<&Expecting>,
) -> Result<Response<OriginBody>, Failed> {
    let mut request = Request::from_parts(parts.clone(), body);
    to_http2(&mut request);
    if let Some(expect) = expect.cloned() {
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                expect.send_replace(Expect::Continue);
            }
        });
    }
    if let Err(error) = sender.ready().await {
        return Err(Failed {
            cause: Cause::Closed(error.to_string()),
            unsent: Some(request.into_body()),
        });
    }
    let response = sender.try_send_request(request).await;
    let response = response.map_err(|mut error| Failed {
        unsent: error.take_message().map(Request::into_body),
        cause: Cause::Closed(error.into_error().to_string()),
    })?;
    Ok(response.map(OriginBody::Http2))
}

/// RFC 9110 §9.2.2: an idempotent request may be sent again by a proxy.
fn is_replayable(parts: &Parts, body: &RequestBody) -> bool {
    body.is_empty() && matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS)
}
