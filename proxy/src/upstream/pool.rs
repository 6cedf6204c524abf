//! Connections to origins that wait for the next request to the same target, or carry several at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http2;
use policy_lang::{Reach, Target};

use super::body::RequestBody;
use super::http1::Wire;
use super::sender::{Protocol, Sender};
use crate::credentials::Identity;
use crate::gate::Permit;

/// Idle HTTP/1 connections kept for one target, and for all together.
const MAX_PER_TARGET: usize = 256;
const MAX_TOTAL: usize = 512;

/// HTTP/2 connections kept, one for each target.
const MAX_SHARED: usize = 256;

/// Longest wait of an idle connection. Origins close theirs after 5 to 75 s; a stale one costs a retry.
const IDLE: Duration = Duration::from_secs(30);

/// What makes two connections interchangeable. One pool belongs to one sandbox, so the sandbox is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) target: Target,
    /// For what reaches how far the connection was made: it may go to an address that others may not go to.
    pub(crate) reach: Reach,
    pub(crate) tls: bool,
    /// The best protocol the client speaks, and so the best that was offered to the origin.
    pub(crate) protocol: Protocol,
    /// Whose secrets are set on the requests: an origin may take a connection for who spoke on it first. None where
    /// the proxy sets none.
    pub(crate) identity: Option<Identity>,
}

impl Key {
    /// The same for requests on which nothing is set.
    fn anonymous(&self) -> Self {
        Self {
            identity: None,
            ..self.clone()
        }
    }
}

/// An open connection to an origin, ready for a request.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: Sender,
    pub(crate) permit: Permit,
    /// False for a connection that has carried a request before.
    pub(crate) fresh: bool,
}

impl Connection {
    pub(crate) fn protocol(&self) -> Protocol {
        match self.sender {
            Sender::Http1(_) => Protocol::Http1,
            Sender::Http2(_) => Protocol::Http2,
        }
    }
}

/// The pool of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// HTTP/1: nobody uses them.
    idle: HashMap<Key, Vec<Idle>>,
    total: usize,
    /// HTTP/2: anybody may use them.
    shared: HashMap<Key, Shared>,
}

#[derive(Debug)]
struct Idle {
    wire: Wire,
    permit: Permit,
    since: Instant,
    /// No request was on it yet, so it is nobody's.
    unasked: bool,
}

impl Idle {
    /// An origin that has spoken unasked is not asked again: its bytes would be taken for the next answer.
    fn is_usable(&mut self, stands: impl Fn(&Permit) -> bool) -> bool {
        self.since.elapsed() < IDLE && self.wire.is_quiet() && stands(&self.permit)
    }
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    permit: Permit,
    used: Instant,
    /// See [`Idle::unasked`].
    unasked: bool,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for `key` whose permit `stands`. Of idle ones the most recently used comes first: it is the least
    /// likely to be stale.
    pub(crate) fn take(&self, key: &Key, stands: impl Fn(&Permit) -> bool) -> Option<Connection> {
        let mut kept = self.lock();
        if let Some(connection) = kept.find(key, &stands) {
            return Some(connection);
        }
        key.identity?;
        kept.claim(key);
        kept.find(key, &stands)
    }

    /// Keeps a connection that has read its answer to the end. When the pool is full it is closed instead.
    pub(crate) fn give(&self, key: Key, wire: Wire, permit: Permit) {
        self.lock().give(key, wire, permit, false);
    }

    /// Lets others use `connection` at the same time, if its protocol can do that.
    pub(crate) fn share(&self, key: &Key, connection: &Connection) {
        let Sender::Http2(sender) = &connection.sender else {
            return;
        };
        self.lock()
            .share(key.clone(), sender, &connection.permit, false);
    }

    /// Keeps a connection on which nothing was asked yet, for whoever asks first.
    pub(crate) fn offer(&self, key: Key, connection: Connection) {
        let permit = connection.permit;
        match connection.sender {
            Sender::Http1(wire) => self.lock().give(key, wire, permit, true),
            Sender::Http2(sender) => self.lock().share(key, &sender, &permit, true),
        }
    }

    /// Closes connections that are old or whose permit no longer stands. Requests on a shared one finish first.
    pub(crate) fn sweep(&self, stands: impl Fn(&Key, &Permit) -> bool) {
        let mut kept = self.lock();
        let kept = &mut *kept;
        kept.idle.retain(|key, waiting| {
            waiting.retain_mut(|idle| idle.is_usable(|permit| stands(key, permit)));
            !waiting.is_empty()
        });
        kept.total = kept.idle.values().map(Vec::len).sum();
        kept.shared.retain(|key, shared| {
            shared.used.elapsed() < IDLE
                && !shared.sender.is_closed()
                && stands(key, &shared.permit)
        });
    }
}

impl Kept {
    fn give(&mut self, key: Key, wire: Wire, permit: Permit, unasked: bool) {
        let full = self.total >= MAX_TOTAL;
        let waiting = self.idle.entry(key).or_default();
        if !full && waiting.len() < MAX_PER_TARGET {
            waiting.push(Idle {
                wire,
                permit,
                since: Instant::now(),
                unasked,
            });
            self.total += 1;
        }
    }

    fn share(
        &mut self,
        key: Key,
        sender: &http2::SendRequest<RequestBody>,
        permit: &Permit,
        unasked: bool,
    ) {
        if self.shared.len() < MAX_SHARED {
            let shared = Shared {
                sender: sender.clone(),
                permit: permit.clone(),
                used: Instant::now(),
                unasked,
            };
            self.shared.insert(key, shared);
        }
    }

    fn find(&mut self, key: &Key, stands: impl Fn(&Permit) -> bool) -> Option<Connection> {
        if key.protocol == Protocol::Http2
            && let Some(connection) = self.shared(key, &stands)
        {
            return Some(connection);
        }
        self.idle(key, &stands)
    }

    /// Makes a connection on which nothing was asked yet one for `key`, which has none.
    fn claim(&mut self, key: &Key) {
        let anonymous = key.anonymous();
        let unasked = |shared: &Shared| shared.unasked;
        if self.shared.get(&anonymous).is_some_and(unasked)
            && let Some(shared) = self.shared.remove(&anonymous)
        {
            self.shared.insert(key.clone(), shared);
        }
        if let Some(waiting) = self.idle.get_mut(&anonymous)
            && let Some(at) = waiting.iter().rposition(|idle| idle.unasked)
        {
            let idle = waiting.remove(at);
            self.idle.insert(key.clone(), vec![idle]);
        }
    }

    fn shared(&mut self, key: &Key, stands: impl Fn(&Permit) -> bool) -> Option<Connection> {
        let shared = self.shared.get_mut(key)?;
        if shared.sender.is_closed() || !stands(&shared.permit) {
            self.shared.remove(key);
            return None;
        }
        shared.used = Instant::now();
        shared.unasked = false;
        let sender = Sender::Http2(shared.sender.clone());
        Some(Connection {
            sender,
            permit: shared.permit.clone(),
            fresh: false,
        })
    }

    fn idle(&mut self, key: &Key, stands: impl Fn(&Permit) -> bool) -> Option<Connection> {
        let waiting = self.idle.get_mut(key)?;
        let mut found = None;
        let before = waiting.len();
        while let Some(mut idle) = waiting.pop() {
            if idle.is_usable(&stands) {
                found = Some(Connection {
                    sender: Sender::Http1(idle.wire),
                    permit: idle.permit,
                    fresh: false,
                });
                break;
            }
        }
        self.total = self.total.saturating_sub(before - waiting.len());
        found
    }
}

/// Where a connection goes when its answer has been read.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) pool: Arc<Pool>,
    pub(crate) key: Key,
    pub(crate) permit: Permit,
}

impl Lease {
    pub(crate) fn give_back(self, wire: Wire) {
        self.pool.give(self.key, wire, self.permit);
    }
}
