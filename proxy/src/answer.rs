//! What the client gets: an origin's answer streamed through, or one of the proxy's own.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use policy_lang::{Host, Target};
use tokio::time::{Instant, Sleep};

use crate::cause::Cause;
use crate::gate::Refusal;
use crate::headers;
use crate::http1::guard::Busy;
use crate::record::Record;
use crate::upstream::body::Expecting;
use crate::upstream::pool::Lease;

/// Says why, in one stable word.
pub(crate) const REASON: HeaderName = HeaderName::from_static("x-sandbox-reason");

/// A denial that can be shown to people.
#[derive(Debug)]
pub(crate) struct Denial {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) body: String,
}

impl Denial {
    /// The answer for `cause`. `advice` is the command that changes the policy.
    pub(crate) fn new(cause: &Cause, target: Option<&Target>, advice: Option<&str>) -> Self {
        let facts = cause.facts();
        let mut body = match facts.status {
            StatusCode::FORBIDDEN => "Blocked by the sandbox's network policy.\n\n".to_owned(),
            _ => "The sandbox's proxy could not pass this request on.\n\n".to_owned(),
        };
        if let Some(target) = target {
            body += &format!("  host:    {target}\n");
        }
        body += &format!("  reason:  {} ({})\n", cause.sentence(), facts.code);
        if let Some(ruling) = cause
            .ruling()
            .filter(|_| facts.status == StatusCode::FORBIDDEN)
        {
            let rule = ruling.rule.as_ref().map_or_else(
                || "none; the default decided".to_owned(),
                |rule| {
                    let line = rule.line.map(|line| format!(":{line}")).unwrap_or_default();
                    format!("{} ({}{line})", rule.text, rule.source)
                },
            );
            body += &format!("  rule:    {rule}\n");
        }
        if let Some(change) = change(cause, target) {
            body += "\nTo allow it, on the host:\n  ";
            body += &match advice {
                Some(command) => format!("{command} {change}\n"),
                None => format!("add it to the policy file ({change})\n"),
            };
        }
        Self {
            status: facts.status,
            code: facts.code,
            body,
        }
    }

    /// As an HTTP/1.1 message, for a connection that hyper does not see. Closes the connection.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or("Error");
        format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: text/plain; charset=utf-8\r\n{REASON}: {}\r\ncontent-length: {}\r\n\
             cache-control: no-store\r\nconnection: close\r\n\r\n{}",
            self.status.as_u16(),
            self.code,
            self.body.len(),
            self.body
        )
        .into_bytes()
    }

    pub(crate) fn into_response(self) -> Response<Answer> {
        let mut response = Response::new(Answer::Own(Some(Bytes::from(self.body))));
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        fields.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(REASON, HeaderValue::from_static(self.code));
        response
    }
}

/// The flag that would let it pass, if one would.
fn change(cause: &Cause, target: Option<&Target>) -> Option<String> {
    let target = target?;
    match cause {
        Cause::Refused(Refusal::Host(ruling)) => Some(match &ruling.blocked_by {
            Some(pattern) if !pattern.contains('*') => format!("--remove-host {pattern}"),
            _ => format!("--allow-host {target}"),
        }),
        Cause::Refused(Refusal::Address { ruling, address }) => match ruling.code {
            "own-listener" => None,
            "metadata" => Some(format!("--allow-host {}", Host::Addr(*address))),
            _ => Some(format!("--allow-host {target}")),
        },
        Cause::NotHttp => Some(format!("--bypass-host {target}")),
        _ => None,
    }
}

/// The body of any answer.
pub(crate) enum Answer {
    /// The proxy's own.
    Own(Option<Bytes>),
    /// An origin's.
    Origin(Box<OriginAnswer>),
}

/// An origin's body on its way to the client.
pub(crate) struct OriginAnswer {
    pub(crate) body: Incoming,
    /// Taken when the body is over.
    pub(crate) record: Option<Record>,
    /// Taken when the body is over; dropped, and with it the connection, when the body is not read to its end.
    pub(crate) lease: Option<Lease>,
    /// Alive while the answer is read; its end lets a held-back request body go.
    pub(crate) expect: Option<Expecting>,
    pub(crate) idle: Idle,
    pub(crate) busy: Option<Busy>,
}

/// Why an origin's body ended early. hyper then ends the client's connection without a clean end of the body.
#[derive(Debug, thiserror::Error)]
#[error("the origin's answer was cut short")]
pub(crate) struct Truncated;

impl OriginAnswer {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Truncated>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.idle.poll(cx));
                self.fail(&Cause::Stalled);
                return Poll::Ready(Some(Err(Truncated)));
            }
        };
        self.idle.touch();
        match frame {
            None => {
                self.complete();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                self.fail(&Cause::Closed(error.to_string()));
                Poll::Ready(Some(Err(Truncated)))
            }
            Some(Ok(frame)) => Poll::Ready(Some(Ok(self.pass(frame)))),
        }
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let frame = match frame.into_data() {
            Ok(data) => {
                if let Some(record) = &self.record {
                    record.traffic().add_down(data.len());
                }
                Frame::data(data)
            }
            Err(frame) => {
                Frame::trailers(headers::trailers(frame.into_trailers().unwrap_or_default()))
            }
        };
        if self.body.is_end_stream() {
            // The line is written before the client can know that the answer is complete.
            self.complete();
        }
        frame
    }

    /// The body is over.
    pub(crate) fn complete(&mut self) {
        let lease = self.lease.take();
        if let Some(record) = self.record.take() {
            // An answer that came before the whole request leaves a connection on which request bytes are owed.
            if let Some(lease) = lease.filter(|_| record.traffic().is_sent()) {
                lease.give_back();
            }
            record.done();
        }
        self.expect = None;
        self.busy = None;
    }

    fn fail(&mut self, cause: &Cause) {
        self.lease = None;
        if let Some(mut record) = self.record.take() {
            record.failed(cause);
            record.finish();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Truncated;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Truncated>>> {
        match &mut *self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Origin(answer) => answer.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Origin(answer) => answer.body.is_end_stream() && answer.record.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Origin(answer) => answer.body.size_hint(),
        }
    }
}

/// A deadline that moves with every frame. COST: the timer itself is only touched when it fires.
pub(crate) struct Idle {
    allowance: Duration,
    touched: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    pub(crate) fn new(allowance: Duration) -> Self {
        Self {
            allowance,
            touched: Instant::now(),
            sleep: None,
        }
    }

    pub(crate) fn touch(&mut self) {
        if self.sleep.is_some() {
            self.touched = Instant::now();
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let touched = &mut self.touched;
        let allowance = self.allowance;
        let sleep = self.sleep.get_or_insert_with(|| {
            *touched = Instant::now();
            Box::pin(tokio::time::sleep(allowance))
        });
        loop {
            ready!(sleep.as_mut().poll(cx));
            let due = *touched + allowance;
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}
