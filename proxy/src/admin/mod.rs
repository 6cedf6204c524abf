//! Talking to a running proxy over its Unix socket: one JSON line to it, one JSON line back.
//!
//! The socket belongs to the user (mode 0600) and is never reachable from a guest: the proxy dials IP addresses only.

mod client;
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::audit::Trouble;
pub use crate::credentials::Active;
pub use crate::metrics::Counters;
pub use client::{AdminError, credentials, reload, status};
pub(crate) use server::{bind, serve};

/// What can be asked.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub(crate) enum Request {
    /// Read the policy file now.
    Reload,
    /// Tell how it is.
    Status,
    /// Use these secrets in the place of what was handed over at the start.
    Credentials {
        /// By the name of the variable.
        set: BTreeMap<String, String>,
    },
}

/// A proxy's account of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the sandbox.
    pub sandbox: String,
    /// The proxy's process.
    pub pid: u32,
    /// Number of the policy in force, from 1.
    pub generation: u64,
    /// SHA-256 over the meaning of the policy in force, in hexadecimal.
    pub digest: String,
    /// The policy file.
    pub config: PathBuf,
    /// What is wrong with the file as it is now, with line and column. The policy in force is then an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    /// What is wrong with the log. While it cannot be written, requests are refused once too many lines wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Trouble>,
    /// The credentials in force, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Active>,
    /// Counts since the start.
    pub counters: Counters,
}
