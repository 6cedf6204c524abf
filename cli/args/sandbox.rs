//! The commands that make, use and end sandboxes.

use std::path::PathBuf;

use clap::Args;

use crate::name::SandboxName;
use crate::workspace::WorkspaceArg;

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
