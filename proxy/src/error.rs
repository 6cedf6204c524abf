//! Why a proxy does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::ca::CaError;
use crate::policy_file::ConfigError;

/// Why [`crate::Proxy::start`] failed. Nothing is left running or half-made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no valid policy, so nothing can be let through.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Policies or the file of clients cannot be used: what is wrong with each.
    #[error("{}", .0.join("; "))]
    Appliance(Vec<String>),
    /// There is no authority to sign with.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The name server's address is unusable.
    #[error("cannot set up name resolution: {0}")]
    Resolver(String),
    /// What must not be dialled is not known.
    #[error("cannot read this machine's addresses")]
    Addresses(#[source] io::Error),
    /// The log cannot be opened.
    #[error("cannot open the log `{}`", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// What was handed over, or is kept of logins, cannot be read.
    #[error("cannot read the credentials that were handed over or kept")]
    Credentials(#[source] io::Error),
    /// The listener for metrics cannot be made.
    #[error("cannot listen on {address}")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The administration socket cannot be made.
    #[error("cannot listen on `{}`", path.display())]
    Admin {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl StartError {
    /// What the reader can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.help(),
            Self::Ca(error) => Some(error.help().to_owned()),
            Self::Log { .. } | Self::Admin { .. } => {
                Some("check the directory's owner, permissions and free space".into())
            }
            Self::Metrics { .. } => Some("choose another address".into()),
            Self::Appliance(_)
            | Self::Tls(_)
            | Self::Resolver(_)
            | Self::Addresses(_)
            | Self::Credentials(_) => None,
        }
    }
}
