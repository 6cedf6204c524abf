//! One connection of a client, as its requests see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;

use crate::appliance::Member;
use crate::cause::Cause;
use crate::context::Context;
use crate::gate::Permit;
use crate::http1::head::HeadError;
use crate::load::{Busy, Load};
use crate::record::Record;
use crate::request::{Last, Scope};
use crate::revocation::Revocation;
use crate::stall::Stall;

/// What the requests of one connection share.
pub(crate) struct Session {
    pub(crate) context: Arc<Context>,
    pub(crate) scope: Scope,
    pub(crate) last: Last,
    pub(crate) load: Arc<Load>,
    /// The permission behind what the connection does now.
    permit: Mutex<Option<Permit>>,
    revoked: Arc<AtomicBool>,
    /// Whose connection it is, where clients say who they are.
    member: Option<Member>,
    /// The `CONNECT` it began with, until a request comes.
    opening: Mutex<Option<Box<Record>>>,
}

impl Session {
    pub(crate) fn new(context: Arc<Context>, scope: Scope, permit: Option<Permit>) -> Self {
        Self {
            load: Arc::new(Load::among(context.load.clone())),
            context,
            scope,
            last: Last::default(),
            permit: Mutex::new(permit),
            revoked: Arc::default(),
            member: None,
            opening: Mutex::default(),
        }
    }

    /// The same for what a `CONNECT` began. The log has one line for it and its first request; if none comes, its own.
    pub(crate) fn opened_by(self, mut record: Record) -> Self {
        record.opens();
        record.revocable(self.revocation());
        Self {
            opening: Mutex::new(Some(Box::new(record))),
            ..self
        }
    }

    /// The same for a client that has to say with each request who it is.
    pub(crate) fn of(self, member: Option<Member>) -> Self {
        Self { member, ..self }
    }

    /// Begins the record of a request.
    pub(crate) fn record(&self, method: &str, url: &str) -> Record {
        let opening = self
            .opening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut record = match opening {
            Some(opening) => opening.followed_by(method, url),
            None => self.context.recorder.begin(method, url),
        };
        record.revocable(self.revocation());
        record
    }

    /// The stream, or over HTTP/1 the connection, now acts on `permit`, and ends when a new policy takes that back. An
    /// error if one has already, and nobody looked again since.
    pub(crate) fn acts_on(&self, permit: &Permit) -> Result<(), Cause> {
        match Stall::current() {
            Some(stream) => stream.acts_on(permit),
            None => {
                *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit.clone());
            }
        }
        match self.context.gate.stands(permit, false) {
            true => Ok(()),
            false => Err(Cause::Revoked),
        }
    }

    /// Another request of an HTTP/1 connection begins: what the one before it asked for is no longer acted on. It is until
    /// a request comes, and the two may come at once: a new policy that refuses that one, and another request.
    pub(crate) fn begins(&self) -> Busy {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permit) = permit.as_mut() {
            permit.widen();
        }
        self.load.busy()
    }

    /// Whether the policy in force has taken back what the connection acts on. Requests that end for it are told so.
    pub(crate) fn is_revoked(&self) -> bool {
        let permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        let revoked = permit.as_ref().is_some_and(|permit| {
            let stands = match self.load.is_idle() {
                true => self.context.gate.stands(&permit.for_any(), false),
                false => self.context.gate.stands(permit, false),
            };
            !stands
        });
        if revoked {
            self.revoked.store(true, Ordering::Relaxed);
        }
        revoked
    }

    /// Tells of the end of a request because of the policy.
    pub(crate) fn revocation(&self) -> Revocation {
        Revocation::new(self.revoked.clone(), Stall::current())
    }

    /// Why a request is not this client's, or nobody knows whose, and in whose name that is said.
    pub(crate) fn stranger(&self, fields: &HeaderMap) -> Option<(&Context, Cause)> {
        let member = self.member.as_ref()?;
        let cause = member.refusal(fields)?;
        Some((member.nobody(), cause))
    }

    /// Why a head is not even a request.
    pub(crate) fn malformed(&self, error: HeadError) -> Cause {
        match (error, &self.scope) {
            (HeadError::LateConnect, Scope::Inside { .. }) => Cause::NestedConnect,
            (error, _) => Cause::Head(error),
        }
    }

    /// Returns when the connection is to be dropped as it is: the policy takes it back, or the proxy stops.
    pub(crate) async fn cut(&self) {
        let mut changes = self.context.live.changes();
        let revoked = async {
            // Looked at once before the first: the policy may have changed since the connection began to act.
            while !self.is_revoked() {
                if changes.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            () = revoked => {}
            () = self.context.stopped.cancelled() => {}
        }
    }
}
