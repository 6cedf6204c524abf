//! Connections to origins that wait for the next request to the same target.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;
use policy_lang::Target;

use super::body::RequestBody;
use crate::gate::Permit;

/// Idle connections kept for one target, and for all together.
const MAX_PER_TARGET: usize = 8;
const MAX_TOTAL: usize = 128;

/// Longest wait of an idle connection. Origins close theirs after 5 to 75 s; a stale one costs a retry.
const IDLE: Duration = Duration::from_secs(30);

/// What makes two connections interchangeable. One pool belongs to one sandbox, so the sandbox is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) target: Target,
    pub(crate) tls: bool,
}

/// An open connection to an origin, ready for a request.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<RequestBody>,
    pub(crate) permit: Permit,
    /// False for a connection that has carried a request before.
    pub(crate) fresh: bool,
}

#[derive(Debug, Default)]
struct Idle {
    by_key: HashMap<Key, Vec<(Connection, Instant)>>,
    total: usize,
}

/// The pool of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Idle>);

impl Pool {
    /// An idle connection for `key` whose permit `stands`. The most recently used comes first: it is the least likely to be stale.
    pub(crate) fn take(&self, key: &Key, stands: impl Fn(&Permit) -> bool) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.by_key.get_mut(key)?;
        let mut dropped = 0;
        let mut found = None;
        while let Some((connection, since)) = waiting.pop() {
            dropped += 1;
            if since.elapsed() < IDLE
                && !connection.sender.is_closed()
                && stands(&connection.permit)
            {
                found = Some(connection);
                break;
            }
        }
        if waiting.is_empty() {
            idle.by_key.remove(key);
        }
        idle.total = idle.total.saturating_sub(dropped);
        found
    }

    /// Keeps a connection that has read its answer to the end. When the pool is full it is closed instead.
    pub(crate) fn give(&self, key: Key, mut connection: Connection) {
        connection.fresh = false;
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.total >= MAX_TOTAL {
            drop(idle);
            self.sweep(|_| true);
            idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        }
        let full = idle.total >= MAX_TOTAL;
        let waiting = idle.by_key.entry(key).or_default();
        if !full && waiting.len() < MAX_PER_TARGET {
            waiting.push((connection, Instant::now()));
            idle.total += 1;
        }
    }

    /// Closes idle connections that are old or whose permit no longer stands.
    pub(crate) fn sweep(&self, stands: impl Fn(&Permit) -> bool) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = &mut *idle;
        idle.by_key.retain(|_, waiting| {
            waiting.retain(|(connection, since)| {
                since.elapsed() < IDLE
                    && !connection.sender.is_closed()
                    && stands(&connection.permit)
            });
            !waiting.is_empty()
        });
        idle.total = idle.by_key.values().map(Vec::len).sum();
    }
}

/// Gives a connection back when its answer has been read, or closes it when dropped before.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) pool: Arc<Pool>,
    pub(crate) key: Key,
    pub(crate) connection: Connection,
}

impl Lease {
    pub(crate) fn give_back(self) {
        self.pool.give(self.key, self.connection);
    }
}
