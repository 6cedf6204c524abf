//! The body of what the client gets: an origin's answer streamed through, or one of the proxy's own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::cause::Cause;
use crate::credentials::Scrubber;
use crate::gate::Permit;
use crate::headers::{self, Trailers};
use crate::io::prefixed::Prefixed;
use crate::load::Busy;
use crate::record::Record;
use crate::stall::Stall;
use crate::upstream::answer::OriginBody;
use crate::upstream::body::Expecting;
use crate::upstream::pool::Lease;
use crate::upstream::stream::Stream;

/// The body of any answer.
pub(crate) enum Answer {
    /// The proxy's own.
    Own(Option<Bytes>),
    /// An origin's.
    Origin(Box<OriginAnswer>),
    /// None: another protocol follows. Only over HTTP/1.
    Switched(Box<Switched>),
}

/// An upgrade that the origin has made and the client is still to hear of.
pub(crate) struct Switched {
    pub(crate) origin: Prefixed<Stream>,
    pub(crate) permit: Option<Permit>,
    pub(crate) record: Record,
    pub(crate) _busy: Busy,
}

/// An origin's body on its way to the client.
pub(crate) struct OriginAnswer {
    pub(crate) body: OriginBody,
    pub(crate) trailers: Trailers,
    /// Taken when the body is over.
    pub(crate) record: Option<Record>,
    /// Where the connection in `body` goes when the body is over; if it is not read to its end, nowhere.
    pub(crate) lease: Option<Lease>,
    /// Alive while the answer is read; its end lets a held-back request body go.
    pub(crate) expect: Option<Expecting>,
    /// Keeps what was set on the request out of the answer.
    pub(crate) scrub: Option<Box<Scrubber>>,
    /// Trailers that wait for bytes that were held back.
    pub(crate) after: Option<Frame<Bytes>>,
    /// Why the body ended early, while what came before is being written.
    pub(crate) broken: Option<Cause>,
    pub(crate) idle: Idle,
    /// Only over HTTP/2.
    pub(crate) stall: Option<Arc<Stall>>,
    pub(crate) busy: Option<Busy>,
}

/// Why an origin's body ended early. The client's connection, or over HTTP/2 its stream, then ends without a clean end of
/// the body.
#[derive(Debug, thiserror::Error)]
#[error("the origin's answer was cut short")]
pub(crate) struct Truncated;

impl OriginAnswer {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Truncated>>> {
        if let Some(after) = self.after.take() {
            return Poll::Ready(Some(Ok(after)));
        }
        if let Some(cause) = self.broken.take() {
            self.fail(&cause);
            return Poll::Ready(Some(Err(Truncated)));
        }
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if let Some(stall) = &self.stall {
                    stall.wait();
                }
                ready!(self.idle.poll(cx));
                self.fail(&Cause::Stalled);
                return Poll::Ready(Some(Err(Truncated)));
            }
        };
        self.idle.touch();
        if let Some(stall) = &self.stall {
            stall.offer();
        }
        match frame {
            None => {
                let held = self.held();
                self.complete();
                Poll::Ready(held.map(|held| Ok(Frame::data(held))))
            }
            Some(Err(error)) => {
                // What is not written yet when a body fails may be dropped, and is written when a body is waited for.
                self.broken = Some(Cause::Closed(error.to_string()));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(frame)) => match self.count(&frame) {
                Err(cause) => {
                    self.fail(&cause);
                    Poll::Ready(Some(Err(Truncated)))
                }
                Ok(()) => Poll::Ready(Some(Ok(self.pass(frame)))),
            },
        }
    }

    /// Puts the frame's bytes on all accounts; an error once a budget is used up.
    fn count(&self, frame: &Frame<Bytes>) -> Result<(), Cause> {
        let (Some(record), Some(data)) = (&self.record, frame.data_ref()) else {
            return Ok(());
        };
        record.traffic().add_down(data.len());
        Ok(record.traffic().within()?)
    }

    /// What was held back, at the end.
    fn held(&mut self) -> Option<Bytes> {
        let scrub = self.scrub.as_mut().filter(|scrub| scrub.holds())?;
        Some(scrub.pass(Bytes::new(), true))
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let frame = match frame.into_data() {
            Ok(data) => {
                let last = self.body.is_end_stream();
                Frame::data(match &mut self.scrub {
                    Some(scrub) => scrub.pass(data, last),
                    None => data,
                })
            }
            Err(frame) => {
                let mut fields =
                    headers::trailers(frame.into_trailers().unwrap_or_default(), self.trailers);
                if let Some(scrub) = &self.scrub {
                    scrub.fields(&mut fields);
                }
                match self.held() {
                    Some(held) => {
                        self.after = Some(Frame::trailers(fields));
                        Frame::data(held)
                    }
                    None => Frame::trailers(fields),
                }
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
        if let (Some(lease), Some(wire)) = (self.lease.take(), self.body.release()) {
            lease.give_back(wire);
        }
        if let Some(record) = self.record.take() {
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

impl Drop for OriginAnswer {
    fn drop(&mut self) {
        if self.stall.as_ref().is_some_and(|stall| stall.is_expired()) {
            self.fail(&Cause::Stalled);
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
            Self::Switched(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Switched(_) => true,
            Self::Origin(answer) => {
                answer.body.is_end_stream() && answer.record.is_none() && answer.after.is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Origin(answer) => answer.body.size_hint(),
            Self::Switched(_) => SizeHint::with_exact(0),
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
