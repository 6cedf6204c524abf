//! A request on its way to an origin.

use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::request::Parts;
use hyper::body::Body as _;
use tokio::io::AsyncWrite;
use tokio::time::timeout;

use super::Error;
use super::request::{self, Form};
use crate::http1::sending::{Length, Sending};
use crate::upstream::body::RequestBody;

/// Its head, and its body as the client sends it.
pub(super) struct Upload(Sending<RequestBody>);

impl Upload {
    pub(super) fn new(parts: &Parts, body: RequestBody, form: &Form) -> Self {
        let length = match (body.is_empty(), body.size_hint().exact()) {
            (true, _) => Length::None,
            (false, Some(length)) => Length::Exact(length),
            (false, None) => Length::Chunked,
        };
        Self(Sending::new(
            request::head(parts, form, length),
            length,
            body,
        ))
    }

    /// Whether the origin has all of it.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// Whether the body waits for the origin's word.
    pub(super) fn is_held(&self) -> bool {
        self.0.body().is_held()
    }

    /// Sends what can be sent. Ready when all of it was.
    pub(super) fn poll<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<Result<(), Error>> {
        self.0.poll(cx, to).map_err(Error::from)
    }

    /// Sends the rest, as long as it moves at least once in `allowance`.
    pub(super) async fn run<W: AsyncWrite + Unpin>(mut self, mut to: W, allowance: Duration) {
        let traffic = self.0.body().traffic().clone();
        let mut sending = pin!(std::future::poll_fn(|cx| self.poll(cx, &mut to)));
        loop {
            let before = traffic.up();
            // What goes wrong here, the answer shows, which is being read.
            if timeout(allowance, sending.as_mut()).await.is_ok() || traffic.up() == before {
                return;
            }
        }
    }
}
