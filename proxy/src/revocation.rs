//! Whether it was the policy that ended a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::stall::Stall;

/// Set when a connection, or its stream, ends because of the policy.
#[derive(Debug)]
pub(crate) struct Revocation {
    connection: Arc<AtomicBool>,
    stream: Option<Arc<Stall>>,
}

impl Revocation {
    pub(crate) fn new(connection: Arc<AtomicBool>, stream: Option<Arc<Stall>>) -> Self {
        Self { connection, stream }
    }

    pub(crate) fn is_set(&self) -> bool {
        let stream = self.stream.as_ref();
        self.connection.load(Ordering::Relaxed) || stream.is_some_and(|stream| stream.is_revoked())
    }
}
