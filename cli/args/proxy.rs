//! `sandbox proxy`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Point a client at it with HTTPS_PROXY=http://ADDRESS and make it trust DIR/proxy-ca.crt.
Edits of the policy file take effect at once.

Sockets that systemd passes (socket activation) are served instead of --listen, so that no connection
is refused while the proxy is replaced. SIGTERM and SIGINT take no more connections and let requests
finish. HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name parent proxies.

Examples:
  sandbox proxy --listen 127.0.0.1:3128 --config proxy-config.json --ca-dir ca
  sandbox proxy --config proxy-config.json --metrics 127.0.0.1:9100 --log proxy.jsonl
  ANTHROPIC_API_KEY=… sandbox proxy --config proxy-config.json --credentials")]
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
    /// Serve /metrics (Prometheus) and /health there, to this machine only if the address says so
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Set the credentials of known services (ANTHROPIC_API_KEY, …) that this environment has
    #[arg(long)]
    pub(crate) credentials: bool,
}
