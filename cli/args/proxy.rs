//! `sandbox proxy`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Point a client at it with HTTPS_PROXY=http://ADDRESS and make it trust DIR/proxy-ca.crt.
Edits of the policy file take effect at once.

Example:
  sandbox proxy --listen 127.0.0.1:3128 --config proxy-config.json --ca-dir ca")]
pub(crate) struct ProxyArgs {
    /// The address to listen on
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:3128")]
    pub(crate) listen: SocketAddr,
    /// The policy
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Where the certificate authority is kept; made on the first start
    #[arg(long, value_name = "DIR", default_value = "sandbox-proxy-ca")]
    pub(crate) ca_dir: PathBuf,
    /// The resolver to ask [default: the system's]
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) dns: Option<SocketAddr>,
    /// Write one JSON line a request to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}
