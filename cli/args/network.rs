//! `sandbox network …`

use clap::{Args, Subcommand};

use crate::name::SandboxName;

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Change a sandbox's network policy, or print it
    Proxy(NetworkProxyArgs),
    /// Show what sandboxes asked for and what became of it
    Log(NetworkLogArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without options it prints the policy in force.

A pattern is a host, host:port, *.domain, *.domain:port, *, *:port or an IP address. `example.com` \
does not cover its subdomains; `*.example.com` covers them all and not `example.com`. The most \
specific rule wins.

Examples:
  sandbox network proxy NAME --policy deny --allow-host api.example.com:443
  sandbox network proxy NAME --allow-host localhost:11434
  sandbox network proxy NAME --block-cidr 203.0.113.0/24

Credentials of known services (ANTHROPIC_API_KEY, OPENAI_API_KEY, GH_TOKEN, …) are taken from the \
environment that starts the sandbox. The proxy sets them on requests to their service; the sandbox \
never has them. They are listed here by name, never by value.")]
pub(crate) struct NetworkProxyArgs {
    /// The sandbox
    pub(crate) sandbox: SandboxName,
    /// What happens when no rule matches
    #[arg(long, value_enum)]
    pub(crate) policy: Option<DefaultPolicy>,
    /// Permit access to a domain or IP
    #[arg(long, value_name = "PATTERN")]
    pub(crate) allow_host: Vec<String>,
    /// Block access to a domain or IP
    #[arg(long, value_name = "PATTERN")]
    pub(crate) block_host: Vec<String>,
    /// Tunnel a domain or IP unread, without interception
    #[arg(long, value_name = "PATTERN")]
    pub(crate) bypass_host: Vec<String>,
    /// Lift the block (or bypass) of an IP range
    #[arg(long, value_name = "CIDR")]
    pub(crate) allow_cidr: Vec<String>,
    /// Block access to an IP range
    #[arg(long, value_name = "CIDR")]
    pub(crate) block_cidr: Vec<String>,
    /// Tunnel an IP range unread, without interception
    #[arg(long, value_name = "CIDR")]
    pub(crate) bypass_cidr: Vec<String>,
    /// Remove a host pattern from every list
    #[arg(long, value_name = "PATTERN")]
    pub(crate) remove_host: Vec<String>,
    /// Remove an IP range from every list
    #[arg(long, value_name = "CIDR")]
    pub(crate) remove_cidr: Vec<String>,
    /// Start again from the default policy file
    #[arg(long)]
    pub(crate) reset: bool,
    /// Hand the running proxy the credentials of this environment, in place of those of its start
    #[arg(long)]
    pub(crate) renew_credentials: bool,
    /// Make a new certificate authority for a stopped sandbox, in place of the one it has
    #[arg(long)]
    pub(crate) renew_ca: bool,
    /// Print the policy as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DefaultPolicy {
    /// Allow what no rule blocks
    Allow,
    /// Deny what no rule allows
    Deny,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each request and each tunnel is an entry. Filters are joined by `and`.

Examples:
  sandbox network log NAME --verdict denied --since 1h     what was refused in the last hour
  sandbox network log --follow --host '*.example.com'      as it happens, in all sandboxes
  sandbox network log NAME --summary                       counted by host and rule
  sandbox network log NAME --har > requests.har            for a browser's network panel
  sandbox network log --file proxy.jsonl --status 5xx      the log of `sandbox proxy --log`
  sandbox network log NAME --verify                        whether a line was changed or removed")]
pub(crate) struct NetworkLogArgs {
    /// Only these sandboxes [default: all]
    #[arg(value_name = "SANDBOX")]
    pub(crate) names: Vec<SandboxName>,
    /// Print JSON; with --follow, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Only the last N entries; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) limit: usize,
    /// No notes about what the entries mean
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Go on with what is asked for from now on
    #[arg(short, long, conflicts_with_all = ["har", "summary"])]
    pub(crate) follow: bool,
    /// Count by host and rule
    #[arg(long, conflicts_with = "har")]
    pub(crate) summary: bool,
    /// Print an HTTP Archive (HAR 1.2)
    #[arg(long)]
    pub(crate) har: bool,
    /// Say whether each line still follows from the one before it; exit 1 if one does not
    #[arg(long, conflicts_with_all = [
        "json", "limit", "follow", "summary", "har", "host", "verdict", "rule", "status", "method", "since",
    ])]
    pub(crate) verify: bool,
    /// Only these hosts: patterns as in a policy; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) host: Vec<String>,
    /// Only what was allowed, or denied
    #[arg(long, value_enum)]
    pub(crate) verdict: Option<Verdict>,
    /// Only what was decided by a rule, or for a reason, with this text in it
    #[arg(long, value_name = "TEXT")]
    pub(crate) rule: Option<String>,
    /// Only this status, or class of statuses (`4xx`)
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// Only these methods
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    pub(crate) method: Vec<String>,
    /// Only what began since: `10m`, `2h`, `3d` ago, or a time in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Read this log instead of sandboxes'
    #[arg(long, value_name = "FILE", conflicts_with = "names")]
    pub(crate) file: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Verdict {
    /// Let through
    Allowed,
    /// Refused
    Denied,
}
