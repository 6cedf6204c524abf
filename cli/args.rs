//! The command line, as clap reads it and as `--help` teaches it.

mod internal;
mod network;
mod proxy;
mod sandbox;
mod template;
mod upkeep;

use clap::{Parser, Subcommand};

pub(crate) use internal::{InternalCommand, InternalProxyArgs};
pub(crate) use network::{
    DefaultPolicy, NetworkCommand, NetworkLogArgs, NetworkProxyArgs, Verdict,
};
pub(crate) use proxy::{AddClientArgs, Listen, ProxyArgs, ProxyCommand};
pub(crate) use sandbox::{
    CreateArgs, ExecArgs, IsolationArg, LsArgs, NamesArgs, PullTemplate, RunArgs, SandboxOptions,
    TemplateOptions,
};
pub(crate) use template::{
    SaveArgs, TemplateBuildArgs, TemplateCommand, TemplateLsArgs, TemplateRmArgs,
};
pub(crate) use upkeep::{
    CompletionArgs, CompletionKind, DiffArgs, DoctorArgs, LegacyCommand, LegacyLsArgs,
    LegacyNamesArgs, LegacyRmArgs, ResetArgs,
};

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
  sandbox run claude                        Claude Code in a microVM around this folder
  sandbox run shell ~/project               a shell around another one
  sandbox network proxy NAME --policy deny --allow-host api.example.com:443
  sandbox network log NAME                  what it reached, and what was refused
  sandbox diff NAME                         what it changed, and what of that this machine may run
  sandbox doctor                            what this machine lacks, and the command that mends it

Files:
  ~/.sandboxd/proxy-config.json             the policy that new sandboxes start with
  ~/.docker/sandboxes/vm/NAME/              one sandbox: its policy, log, disk and CA

Environment:
  SANDBOX_CACHE       where kernels and templates are kept (~/.sandboxd)
  SANDBOX_ISOLATION   microvm or container: what keeps the agent in (microvm)
  SANDBOX_ACCEL       auto, kvm or tcg: how the VM's processor is run (auto)
  SANDBOX_KERNEL      a folder with a guest kernel, laid out like an unpacked kernel package
  SANDBOX_RUNTIME     runc or crun: what runs containers (the one that is installed)")]
pub(crate) struct Cli {
    /// Taken for Docker's sake: nothing more than usual can be told
    #[arg(short = 'D', long, hide = true)]
    debug: bool,

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
    /// Stop and remove all sandboxes, and the images that were pulled for them
    Reset(ResetArgs),
    /// Make a template of a sandbox, or an archive that `docker load` reads
    Save(SaveArgs),
    /// List what changed in a sandbox's folders, what this machine may run first
    Diff(DiffArgs),
    /// Build, list and remove what sandboxes are made of
    #[command(subcommand)]
    Template(TemplateCommand),
    /// Control and watch what sandboxes reach on the network
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Check, test, explain, compare and make network policies
    #[command(subcommand)]
    Policy(crate::commands::policy::PolicyCommand),
    /// Run the filtering proxy alone, without a microVM
    Proxy(ProxyArgs),
    /// Prepare what the first `run` needs: a guest kernel and a template
    Prepare(TemplateOptions),
    /// Look for what this machine lacks, and say what mends it
    Doctor(DoctorArgs),
    /// Find, move and remove sandboxes of Docker's older, container generation
    #[command(subcommand)]
    Legacy(LegacyCommand),
    /// Print completions for a shell, or write manual pages
    Completion(CompletionArgs),
    /// Print the version
    Version,
    /// What Docker's client asks its plugins
    #[command(hide = true)]
    DockerCliPluginMetadata,
    /// A process of a running sandbox; not for people
    #[command(subcommand, hide = true)]
    Internal(InternalCommand),
}
