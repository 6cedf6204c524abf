//! Counters. Fed by the same value as the log, so the two cannot disagree.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::audit::{Action, Event};

/// Counts since the proxy started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    connections: AtomicU64,
    open_connections: AtomicU64,
    requests: AtomicU64,
    open_requests: AtomicU64,
    allowed: AtomicU64,
    denied: AtomicU64,
    failed: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    panics: AtomicU64,
}

/// A reading of the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Client connections taken.
    pub connections: u64,
    /// Client connections open now.
    pub open_connections: u64,
    /// Requests and tunnels begun.
    pub requests: u64,
    /// Requests and tunnels open now.
    pub open_requests: u64,
    /// Finished, and let pass by the policy.
    pub allowed: u64,
    /// Refused.
    pub denied: u64,
    /// Let pass by the policy, and ended by an error.
    pub failed: u64,
    /// Body bytes towards origins.
    pub bytes_up: u64,
    /// Body bytes towards clients.
    pub bytes_down: u64,
    /// Tasks that died of a defect.
    pub panics: u64,
    /// Lines that never reached the log, because it could not be written.
    #[serde(default)]
    pub log_lines_lost: u64,
}

impl Metrics {
    pub(crate) fn connected(&self) -> u64 {
        self.connections.fetch_add(1, Relaxed);
        self.open_connections.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn disconnected(&self) {
        self.open_connections.fetch_sub(1, Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    pub(crate) fn began(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.open_requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn finished(&self, event: &Event) {
        self.open_requests.fetch_sub(1, Relaxed);
        match (event.action, &event.reason) {
            (Action::Denied, _) => self.denied.fetch_add(1, Relaxed),
            (Action::Allowed, None) => self.allowed.fetch_add(1, Relaxed),
            (Action::Allowed, Some(_)) => {
                self.allowed.fetch_add(1, Relaxed);
                self.failed.fetch_add(1, Relaxed)
            }
        };
        self.bytes_up.fetch_add(event.bytes_up, Relaxed);
        self.bytes_down.fetch_add(event.bytes_down, Relaxed);
    }

    pub(crate) fn read(&self) -> Counters {
        Counters {
            connections: self.connections.load(Relaxed),
            open_connections: self.open_connections.load(Relaxed),
            requests: self.requests.load(Relaxed),
            open_requests: self.open_requests.load(Relaxed),
            allowed: self.allowed.load(Relaxed),
            denied: self.denied.load(Relaxed),
            failed: self.failed.load(Relaxed),
            bytes_up: self.bytes_up.load(Relaxed),
            bytes_down: self.bytes_down.load(Relaxed),
            panics: self.panics.load(Relaxed),
            log_lines_lost: 0,
        }
    }
}
