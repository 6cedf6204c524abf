//! `sandbox proxy`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use proxy::appliance::Name;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Point a client at it with HTTPS_PROXY=http://ADDRESS and make it trust DIR/proxy-ca.crt. \
Edits of policies and of the file of clients take effect at once; SIGHUP makes it look right away.

Many policies: --config-dir names a directory with one file each, NAME.policy or NAME.json. A \
listener `IP:PORT=NAME` puts whoever connects under the policy NAME. A listener without a name \
is for clients that say who they are (HTTPS_PROXY=http://USER:PASSWORD@ADDRESS): --clients names \
the file that knows them, one policy each. Clients share nothing but the authority, the log and \
the resolver: connections, limits, budgets and the list of denials at /.sandbox/why are each \
client's own.

Sockets that systemd passes (socket activation) are served instead of --listen, so that no \
connection is refused while the proxy is replaced; FileDescriptorName=NAME puts one under the \
policy NAME. With Type=notify-reload, systemd is told when it is ready, reloading and stopping. \
SIGTERM and SIGINT take no more connections and let requests finish. HTTP_PROXY, HTTPS_PROXY, \
ALL_PROXY and NO_PROXY name parent proxies (http, https, socks5).

Examples:
  sandbox proxy --listen 127.0.0.1:3128 --config proxy-config.json --ca-dir ca
  sandbox proxy --config proxy-config.json --metrics 127.0.0.1:9100 --log proxy.jsonl
  ANTHROPIC_API_KEY=… sandbox proxy --config proxy-config.json --credentials

  sandbox proxy add-client alice --clients clients --policy team
  sandbox proxy --config-dir policies --clients clients --listen 10.0.0.1:3128")]
pub(crate) struct ProxyArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ProxyCommand>,
    /// An address to listen on, with --config-dir for one policy or for clients; may be given again
    #[arg(
        long,
        value_name = "IP:PORT[=POLICY]",
        default_value = "127.0.0.1:3128"
    )]
    pub(crate) listen: Vec<Listen>,
    /// The policy
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "config_dir",
        required_unless_present = "config_dir"
    )]
    pub(crate) config: Option<PathBuf>,
    /// The policies, one file each: NAME.policy or NAME.json
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    /// The clients that are known; private to its owner
    #[arg(long, value_name = "FILE", requires = "config_dir")]
    pub(crate) clients: Option<PathBuf>,
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

#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Add a client, or give one a new password, and print the password
    AddClient(AddClientArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The password is printed once and kept nowhere: the file has a hash of it. A running proxy knows the client at \
once; one whose password is replaced loses its connections. To remove a client, delete its line.

Example:
  HTTPS_PROXY=http://alice:$(sandbox proxy add-client alice --clients clients)@127.0.0.1:3128")]
pub(crate) struct AddClientArgs {
    /// The client's name, as it will be in the log
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    /// The file of clients; made if need be, with mode 600
    #[arg(long, value_name = "FILE")]
    pub(crate) clients: PathBuf,
    /// The policy that the client is under [default: the one called NAME]
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<Name>,
}

/// A listener, and the policy of whoever connects to it.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    pub(crate) policy: Option<Name>,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, policy) = match text.split_once('=') {
            None => (text, None),
            Some((address, policy)) => {
                let policy: Name = policy
                    .parse()
                    .map_err(|error: proxy::appliance::NameError| error.to_string())?;
                (address, Some(policy))
            }
        };
        let address = address
            .parse()
            .map_err(|_| format!("`{address}` is no address with a port"))?;
        Ok(Self { address, policy })
    }
}
