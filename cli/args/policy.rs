//! `sandbox policy …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::name::SandboxName;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say what would happen to a request, and why every other rule lost
    Explain(ExplainArgs),
    /// Check a policy file
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PolicySource {
    /// The policy of this sandbox
    #[arg(long, value_name = "SANDBOX", conflicts_with = "config")]
    pub(crate) sandbox: Option<SandboxName>,
    /// The policy in this file [default: the default policy file]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) source: PolicySource,
    /// The request's method, where the policy has rules on methods and a URL is given
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// Judge this address instead of resolving the name; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Vec<std::net::IpAddr>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// A URL, a host or host:port (port 443 unless said)
    pub(crate) target: String,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) source: PolicySource,
}
