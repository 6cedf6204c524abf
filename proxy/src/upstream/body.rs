//! A request's body on its way to the origin.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::downstream::{Broken, ClientBody};
use crate::headers::{self, Trailers};
use crate::traffic::Traffic;

/// Counted as it passes, its trailers filtered, and held back while the origin is asked whether it wants it.
pub(crate) struct RequestBody {
    inner: Option<ClientBody>,
    /// All of it, where the proxy wrote it.
    whole: Option<Bytes>,
    trailers: Trailers,
    traffic: Arc<Traffic>,
    hold: Option<Hold>,
}

type Hold = Pin<Box<dyn Future<Output = Result<(), BodyError>> + Send>>;

/// Why a request body cannot be sent on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error(transparent)]
    Client(#[from] Broken),
    #[error("the origin answered without asking for the body")]
    Unwanted,
    #[error("the client's body is not as long as it was said to be")]
    Length,
    #[error("a budget of the policy is used up")]
    Budget,
}

/// What the origin said to `Expect: 100-continue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Nothing yet.
    Waiting,
    /// `100 Continue`.
    Continue,
    /// A final answer: the body is not sent, and the connection ends with the answer.
    Answered,
}

/// Tells a held-back body what the origin said.
pub(crate) type Expecting = Arc<watch::Sender<Expect>>;

impl RequestBody {
    pub(crate) fn new(inner: ClientBody, trailers: Trailers, traffic: Arc<Traffic>) -> Self {
        let inner = Some(inner).filter(|inner| !inner.is_end_stream());
        if inner.is_none() {
            traffic.sent();
        }
        Self {
            inner,
            whole: None,
            trailers,
            traffic,
            hold: None,
        }
    }

    /// A body that the proxy wrote.
    pub(crate) fn whole(bytes: Bytes, traffic: Arc<Traffic>) -> Self {
        Self {
            inner: None,
            whole: Some(bytes).filter(|bytes| !bytes.is_empty()),
            trailers: Trailers::Listed,
            traffic,
            hold: None,
        }
    }

    /// All that the client sends, if that is no more than `most` and arrives whole.
    pub(crate) async fn collect(&mut self, most: usize) -> Option<Vec<u8>> {
        let Some(inner) = self.inner.take() else {
            return Some(Vec::new());
        };
        let collected = Limited::new(inner, most).collect().await.ok()?;
        Some(collected.to_bytes().to_vec())
    }

    pub(crate) fn empty(traffic: Arc<Traffic>) -> Self {
        traffic.sent();
        Self {
            inner: None,
            whole: None,
            trailers: Trailers::Listed,
            traffic,
            hold: None,
        }
    }

    /// One that panics when it is asked for bytes for the second time.
    #[cfg(test)]
    pub(crate) fn panicking() -> Self {
        let injected = async {
            tokio::task::yield_now().await;
            panic!("injected")
        };
        Self {
            hold: Some(Box::pin(injected)),
            ..Self::whole(Bytes::from_static(b"never sent"), Arc::default())
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.is_none() && self.whole.is_none()
    }

    /// Whether it waits for the origin's word.
    pub(crate) fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Waits for the origin's word before the first byte, at most for `patience`.
    pub(crate) fn held(mut self, expect: watch::Receiver<Expect>, patience: Duration) -> Self {
        self.hold = Some(Box::pin(permission(expect, patience)));
        self
    }
}

async fn permission(
    mut expect: watch::Receiver<Expect>,
    patience: Duration,
) -> Result<(), BodyError> {
    let decided = timeout(
        patience,
        expect.wait_for(|expect| *expect != Expect::Waiting),
    )
    .await;
    match decided.map(|decided| decided.map(|expect| *expect)) {
        Err(_) | Ok(Ok(Expect::Continue)) => Ok(()),
        Ok(Err(_)) => Err(BodyError::Unwanted),
        // The answer is being read; when it is over, the sender is dropped and this ends.
        Ok(Ok(Expect::Waiting | Expect::Answered)) => {
            let _ = expect.wait_for(|expect| *expect == Expect::Continue).await;
            Err(BodyError::Unwanted)
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(hold) = &mut this.hold {
            let outcome = ready!(hold.as_mut().poll(cx));
            this.hold = None;
            outcome?;
        }
        if let Some(whole) = this.whole.take() {
            this.traffic.add_up(whole.len());
            this.traffic.sent();
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let frame = match ready!(Pin::new(&mut *inner).poll_frame(cx)) {
            None => {
                this.traffic.sent();
                return Poll::Ready(None);
            }
            Some(frame) => frame?,
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                this.traffic.add_up(data.len());
                if this.traffic.within().is_err() {
                    return Poll::Ready(Some(Err(BodyError::Budget)));
                }
                if inner.is_end_stream() {
                    this.traffic.sent();
                }
                Frame::data(data)
            }
            Err(frame) => Frame::trailers(headers::trailers(
                frame.into_trailers().unwrap_or_default(),
                this.trailers,
            )),
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_none() && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let whole = self.whole.as_ref().map_or(0, Bytes::len) as u64;
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(whole), Body::size_hint)
    }
}
