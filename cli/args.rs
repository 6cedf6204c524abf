//! The command line, as clap reads it and as `--help` teaches it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::name::SandboxName;
use crate::workspace::WorkspaceArg;

/// Run AI coding agents in microVMs whose only way out is a filtering proxy.
#[derive(Debug, Parser)]
#[command(
    name = "sandbox",
    version,
    propagate_version = false,
    disable_version_flag = true
)]
#[command(after_help = "\
Start here:
  sandbox run shell .                       a shell in a microVM around this folder
  sandbox network proxy NAME --policy deny --allow-host api.example.com:443
  sandbox network log NAME                  what it reached, and what was refused

Files:
  ~/.sandboxd/proxy-config.json             the policy that new sandboxes start with
  ~/.docker/sandboxes/vm/NAME/              one sandbox: its policy, log, disk and CA

Environment:
  SANDBOX_CACHE   where kernels and templates are kept (~/.sandboxd)
  SANDBOX_ACCEL   auto, kvm or tcg: how the VM's processor is run (auto)")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an agent in a sandbox, which is made or started first if need be
    Run(RunArgs),
    /// Make a sandbox without starting it
    Create(CreateArgs),
    /// Run a command in a sandbox, which is started first if need be
    Exec(ExecArgs),
    /// List sandboxes
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show everything about sandboxes, as JSON
    Inspect(NamesArgs),
    /// Stop sandboxes; what was installed in them stays
    Stop(NamesArgs),
    /// Remove sandboxes and all that is in them; workspaces stay
    #[command(visible_alias = "remove")]
    Rm(NamesArgs),
    /// Control and watch what sandboxes reach on the network
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Check and explain network policies
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Run the filtering proxy alone, without a microVM
    Proxy(ProxyArgs),
    /// Prepare what the first `run` needs: a guest kernel and a template
    Prepare(TemplateOptions),
    /// Print the version
    Version,
    /// A process of a running sandbox; not for people
    #[command(subcommand, hide = true)]
    Internal(InternalCommand),
}

#[derive(Debug, Args)]
pub(crate) struct SandboxOptions {
    /// Name the sandbox [default: AGENT-FOLDER]
    #[arg(long)]
    pub(crate) name: Option<SandboxName>,
    #[command(flatten)]
    pub(crate) template: TemplateOptions,
    /// Processors of the microVM
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: Option<u32>,
    /// Memory of the microVM, in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(256..=1_048_576))]
    pub(crate) memory: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct TemplateOptions {
    /// What is installed inside: an image's name, a saved image's path, or `shell` [default: the agent's]
    #[arg(short, long, value_name = "IMAGE")]
    pub(crate) template: Option<String>,
    /// When to pull the image from its registry
    #[arg(long, value_enum, default_value_t = PullTemplate::Missing)]
    pub(crate) pull_template: PullTemplate,
    /// Take the image from the local Docker, Podman or containerd
    #[arg(long, requires = "template")]
    pub(crate) load_local_template: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PullTemplate {
    /// Each time
    Always,
    /// Unless it was pulled before
    Missing,
    /// Only use what was pulled before
    Never,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sandbox run                       a shell around the current folder
  sandbox run shell ~/project       a shell around ~/project
  sandbox run shell . ~/docs:ro     with a second folder that can only be read
  sandbox run shell-project         back into a sandbox, by its name
  sandbox run shell . -- -c 'make'  with arguments for the agent")]
pub(crate) struct RunArgs {
    /// An agent (`shell`), or the name of a sandbox to go back to
    #[arg(value_name = "AGENT|SANDBOX", default_value = "shell")]
    pub(crate) subject: String,
    /// Folders to share, at the same path inside; `:ro` for read-only [default: .]
    #[arg(value_name = "WORKSPACE")]
    pub(crate) workspaces: Vec<WorkspaceArg>,
    #[command(flatten)]
    pub(crate) options: SandboxOptions,
    /// Start the sandbox and print its name, without running the agent
    #[arg(short, long)]
    pub(crate) detached: bool,
    /// Arguments for the agent
    #[arg(last = true, value_name = "AGENT_ARGS")]
    pub(crate) agent_args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The agent: `shell`
    pub(crate) agent: String,
    /// Folders to share, at the same path inside; `:ro` for read-only
    #[arg(value_name = "WORKSPACE", required = true)]
    pub(crate) workspaces: Vec<WorkspaceArg>,
    #[command(flatten)]
    pub(crate) options: SandboxOptions,
    /// Print the sandbox's name and nothing else
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is the command's own; 125 if the sandbox failed, 126 if the command cannot be
run, 127 if there is no such command, 128 + N if signal N ended it.")]
pub(crate) struct ExecArgs {
    /// Keep standard input connected
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set an environment variable; without `=VALUE`, pass on the caller's
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Let the command run on by itself
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    pub(crate) detach: bool,
    /// User inside the sandbox: name or uid, with :group or :gid if need be [default: agent]
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Working directory inside the sandbox [default: the primary workspace]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,
    /// The sandbox
    pub(crate) sandbox: SandboxName,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print names only, one a line
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// The sandboxes
    #[arg(required = true, value_name = "SANDBOX")]
    pub(crate) names: Vec<SandboxName>,
}

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

A pattern is a host, host:port, *.domain, *.domain:port, *, *:port or an IP address. `example.com`
does not cover its subdomains; `*.example.com` covers them all and not `example.com`. The most
specific rule wins.

Examples:
  sandbox network proxy NAME --policy deny --allow-host api.example.com:443
  sandbox network proxy NAME --allow-host localhost:11434
  sandbox network proxy NAME --block-cidr 203.0.113.0/24")]
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
pub(crate) struct NetworkLogArgs {
    /// Only these sandboxes [default: all]
    #[arg(value_name = "SANDBOX")]
    pub(crate) names: Vec<SandboxName>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Only the last N entries; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) limit: usize,
    /// No notes about what the entries mean
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

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

#[derive(Debug, Subcommand)]
pub(crate) enum InternalCommand {
    /// Supervise one microVM; reads its specification from standard input
    Supervise,
    /// Be the VMM or the server of a shared folder
    Helper(InternalHelperArgs),
    /// Be the proxy of one sandbox
    Proxy(InternalProxyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct InternalHelperArgs {
    pub(crate) role: OsString,
}

#[derive(Debug, Args)]
pub(crate) struct InternalProxyArgs {
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) config: PathBuf,
    #[arg(long)]
    pub(crate) ca_dir: PathBuf,
    #[arg(long)]
    pub(crate) log: PathBuf,
    #[arg(long)]
    pub(crate) admin: PathBuf,
    #[arg(long)]
    pub(crate) dns: Option<SocketAddr>,
    /// The host's end of the guest's data port
    #[arg(long)]
    pub(crate) channel: PathBuf,
}
