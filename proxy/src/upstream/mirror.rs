//! Which protocol an origin speaks, so that clients are offered the same.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use policy_lang::Target;

use super::sender::Protocol;

/// Origins remembered. COST: about 200 bytes each.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// An origin may be reconfigured; a wrong memory costs a bridge between the protocols, not an error.
const VALID: Duration = Duration::from_secs(600);

/// What origins chose when they were offered everything.
#[derive(Debug)]
pub(crate) struct Mirror(Mutex<LruCache<Target, (Protocol, Instant)>>);

impl Default for Mirror {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }
}

impl Mirror {
    pub(crate) fn known(&self, target: &Target) -> Option<Protocol> {
        let mut origins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (protocol, learned) = origins.get(target)?;
        (learned.elapsed() < VALID).then_some(*protocol)
    }

    pub(crate) fn learn(&self, target: &Target, protocol: Protocol) {
        let mut origins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        origins.put(target.clone(), (protocol, Instant::now()));
    }
}
