//! A name looked up once, as the proxy would, for a command that explains.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use policy_lang::HostName;

use crate::resolve::{Resolve, ResolveError};

/// Time for an answer. A person waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a name was not resolved.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No resolver could be started.
    #[error("no resolver can be started: {0}")]
    Start(String),
    /// It gave no addresses.
    #[error("{0}")]
    Answer(String),
}

/// The addresses of `name`, from `server` or from the name servers the system is configured with. Like the
/// proxy's own look-ups it uses no hosts file and no search list.
pub fn lookup(name: &HostName, server: Option<SocketAddr>) -> Result<Vec<IpAddr>, LookupError> {
    let start = |error: io::Error| LookupError::Start(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(start)?;
    runtime.block_on(async {
        let resolve = Resolve::new(server, PATIENCE)
            .map_err(|error| LookupError::Start(error.to_string()))?;
        let answer = resolve.lookup(name).await;
        let answer =
            answer.map_err(|error: ResolveError| LookupError::Answer(error.to_string()))?;
        Ok(answer.addresses)
    })
}
