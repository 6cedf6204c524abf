//! One connection of a client, as its requests see it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cause::Cause;
use crate::context::Context;
use crate::exchange;
use crate::gate::Permit;
use crate::http1::guard::{Guard, Shared};
use crate::http1::head::HeadError;
use crate::request::Scope;

/// Bytes read ahead of a request's body, and written ahead of a slow client.
const BUFFER: usize = 64 * 1024;

/// What the requests of one connection share.
pub(crate) struct Session {
    pub(crate) context: Arc<Context>,
    pub(crate) scope: Scope,
    pub(crate) shared: Arc<Shared>,
    /// The permission behind what the connection does now.
    permit: Mutex<Option<Permit>>,
    revoked: Arc<AtomicBool>,
}

impl Session {
    pub(crate) fn new(
        context: Arc<Context>,
        scope: Scope,
        shared: Arc<Shared>,
        permit: Option<Permit>,
    ) -> Self {
        Self {
            context,
            scope,
            shared,
            permit: Mutex::new(permit),
            revoked: Arc::default(),
        }
    }

    /// The connection now acts on `permit`, and ends when a new policy takes that back.
    pub(crate) fn acts_on(&self, permit: &Permit) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit.clone());
    }

    /// Whether the policy in force has taken back what the connection acts on. Requests that end for it are told so.
    pub(crate) fn is_revoked(&self) -> bool {
        let permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        let revoked = permit
            .as_ref()
            .is_some_and(|permit| !self.context.gate.stands(permit, false));
        if revoked {
            self.revoked.store(true, Ordering::Relaxed);
        }
        revoked
    }

    /// Set when the connection ends because of the policy.
    pub(crate) fn revocation(&self) -> Arc<AtomicBool> {
        self.revoked.clone()
    }

    fn refused(&self, error: HeadError) -> Cause {
        match (error, &self.scope) {
            (HeadError::LateConnect, Scope::Inside { .. }) => Cause::NestedConnect,
            (error, _) => Cause::Head(error),
        }
    }
}

/// Serves HTTP/1 requests until the client leaves, the policy takes the connection back or the proxy stops.
pub(crate) async fn http1<I>(session: Arc<Session>, guard: Guard<I>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let context = session.context.clone();
    let service = service_fn(|request| {
        let session = session.clone();
        // Taken here and not in the future: this runs when the head is read, before the next one is.
        let refused = session.shared.take_refused();
        let busy = session.shared.busy();
        async move {
            Ok::<_, Infallible>(match refused {
                Some(error) => exchange::refuse(&session.context, &session.refused(error)),
                None => exchange::answer(session, request, busy).await,
            })
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(guard), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut changes = context.live.changes();
    let mut draining = false;
    loop {
        tokio::select! {
            // What went wrong on the client's connection, its requests record.
            _ = connection.as_mut() => return,
            _ = changes.changed() => {
                if session.is_revoked() {
                    return;
                }
            }
            () = context.draining.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = context.stopped.cancelled() => return,
        }
    }
}
