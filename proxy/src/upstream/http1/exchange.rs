//! One request, and the head of its answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::request::Parts;
use http::{Response, StatusCode};

use super::body::Body;
use super::head::Head;
use super::upload::Upload;
use super::{AnswerError, Error, Wire};
use crate::panics::Counted;
use crate::record::Recorder;
use crate::upstream::body::{Expect, Expecting, RequestBody};

/// Interim answers before the final one: 102 comes every 20 s (RFC 2518 §10.1) for at most the ten minutes that a final
/// answer may take.
const MAX_INTERIM: u32 = 32;

/// Sends a request over `wire` and waits for the head of the answer. The body of the request may still be on its way
/// then; it goes on in a task of its own, as long as it moves once in `allowance`. A panic there
/// is counted in `recorder`.
///
/// Dropped before it is done, it closes the connection.
pub(crate) async fn exchange(
    wire: Wire,
    parts: &Parts,
    body: RequestBody,
    expect: Option<&Expecting>,
    allowance: Duration,
    recorder: &Arc<Recorder>,
) -> Result<Response<Body>, Error> {
    let mut exchange = Exchange {
        upload: Upload::new(parts, body, &wire.form),
        wire,
        looked: 0,
        interim: 0,
        broken: None,
    };
    let head = poll_fn(|cx| exchange.poll(cx, parts, expect)).await?;
    let Exchange {
        wire,
        upload,
        broken,
        ..
    } = exchange;
    let body = match (upload.is_over(), broken.is_some() || upload.is_held()) {
        (true, _) => Body::new(wire, head.framing, head.persists),
        // Nobody waits for the rest of the request.
        (false, true) => Body::new(wire, head.framing, false),
        (false, false) => {
            let tasks = Counted(recorder.clone());
            let sending = |writing| tasks.spawn(upload.run(writing, allowance));
            Body::beside(wire, head.framing, sending)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    Ok(response)
}

struct Exchange {
    wire: Wire,
    upload: Upload,
    /// How far an unfinished head has been looked through.
    looked: usize,
    interim: u32,
    /// Why the request could not be sent on. The origin may have answered all the same: most that close early do.
    broken: Option<Error>,
}

impl Exchange {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        parts: &Parts,
        expect: Option<&Expecting>,
    ) -> Poll<Result<Head, Error>> {
        if self.broken.is_none()
            && let Poll::Ready(Err(error)) = self.upload.poll(cx, &mut self.wire.stream)
        {
            if matches!(error, Error::Request(_)) {
                return Poll::Ready(Err(error));
            }
            self.broken = Some(error);
        }
        loop {
            let head = ready!(self.wire.poll_head(cx, &parts.method, &mut self.looked));
            let head = match head {
                Ok(head) => head,
                Err(error @ Error::Answer(_)) => return Poll::Ready(Err(error)),
                Err(error) => return Poll::Ready(Err(self.broken.take().unwrap_or(error))),
            };
            if !is_interim(head.status) {
                return Poll::Ready(Ok(head));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Poll::Ready(Err(AnswerError::Interim(MAX_INTERIM).into()));
            }
            if let Some(expect) = expect.filter(|_| head.status == StatusCode::CONTINUE) {
                expect.send_replace(Expect::Continue);
            }
        }
    }
}

/// 101 ends what HTTP has to say.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}
