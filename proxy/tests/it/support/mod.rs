//! What the tests share: origins, a name server, a proxy, and clients made of bytes.

pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod frames;
pub(crate) mod h2;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod origin;
pub(crate) mod pki;
pub(crate) mod world;

pub(crate) use client::Tunnel;
pub(crate) use origin::{Canary, Reply};
pub(crate) use world::World;

use std::time::Duration;

/// Longest any single step may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Awaits with a deadline, so that a defect fails instead of hanging.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("timed out: {what}"),
    }
}
