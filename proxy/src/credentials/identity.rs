//! Which secrets are set on a request, without the secrets.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

/// Chosen anew by each process: what is hashed with it tells nothing outside.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Who an origin takes a request to be from, by the secrets on it. Two differ if a secret does, so that one that is
/// rotated is somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity(u64);

impl Identity {
    /// Who said all that `before` did, and `secret`.
    pub(super) fn of(before: Option<Self>, secret: &str) -> Self {
        Self(KEY.hash_one((before, secret)))
    }
}
