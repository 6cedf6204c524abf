//! The commands that make, use and end sandboxes.

use std::path::PathBuf;

use clap::Args;
use vmshim::attach::DetachKeys;

use crate::name::SandboxName;
use crate::publish::PublishArg;
use crate::settings::{self, Credentials};
use crate::size::{self, Size};
use crate::volume::VolumeArg;
use crate::workspace::WorkspaceArg;

/// What `run` and `create` share.
#[derive(Debug, Default, Args)]
pub(crate) struct SandboxOptions {
    /// Name the sandbox [default: AGENT-FOLDER]; with names, one folder can have several
    #[arg(long)]
    pub(crate) name: Option<SandboxName>,
    #[command(flatten)]
    pub(crate) template: TemplateOptions,
    /// What keeps the agent in [default: $SANDBOX_ISOLATION, or microvm]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) isolation: Option<IsolationArg>,

    /// Share a folder or a file at another path inside; `:ro` if the agent may only read it
    #[arg(short, long, value_name = "HOST:INSIDE[:ro]", help_heading = "Folders")]
    pub(crate) volume: Vec<VolumeArg>,
    /// The agent may only read the primary folder
    #[arg(long, help_heading = "Folders")]
    pub(crate) read_only: bool,
    /// Keep files of shared folders out of the agent's sight; a line of .gitignore, as in `.env`
    #[arg(long, value_name = "PATTERN", value_parser = settings::hide_pattern, help_heading = "Folders")]
    pub(crate) hide: Vec<String>,

    /// Set an environment variable; without `=VALUE`, pass on yours
    #[arg(short, long, value_name = "KEY[=VALUE]", help_heading = "Environment")]
    pub(crate) env: Vec<String>,
    /// Set the environment variables that a file lists, one KEY=VALUE a line
    #[arg(long, value_name = "FILE", help_heading = "Environment")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Where the agent's credentials come from [default: sandbox]
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Environment")]
    pub(crate) credentials: Option<Credentials>,
    /// Share the host's Docker daemon; a sandbox is better off with its own
    #[arg(long, help_heading = "Environment")]
    pub(crate) mount_docker_socket: bool,

    /// Processors that the sandbox may use
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "Resources")]
    pub(crate) cpus: Option<u32>,
    /// Memory that the sandbox may use, as in `4g` [default: 2g]; can be raised later
    #[arg(long, value_name = "SIZE", value_parser = size::memory, help_heading = "Resources")]
    pub(crate) memory: Option<Size>,
    /// What the sandbox's own disk can hold [default: 20g]; takes from yours what is written
    #[arg(long, value_name = "SIZE", value_parser = size::disk, help_heading = "Resources")]
    pub(crate) disk: Option<Size>,
    /// Listen on this machine for a port of the sandbox, on loopback unless HOST_IP says otherwise
    #[arg(
        long,
        value_name = "[[HOST_IP:]HOST_PORT:]PORT",
        help_heading = "Resources"
    )]
    pub(crate) publish: Vec<PublishArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum IsolationArg {
    /// A virtual machine with a kernel of its own
    Microvm,
    /// A container, run by runc or crun ($SANDBOX_RUNTIME): faster to start and without KVM, but it shares this machine's kernel
    Container,
}

/// Where the root file system comes from.
#[derive(Debug, Default, Args)]
pub(crate) struct TemplateOptions {
    /// What is installed inside: a template of `sandbox template ls`, an image's name, or a saved image's path [default: the agent's]
    #[arg(short, long, value_name = "IMAGE")]
    pub(crate) template: Option<String>,
    /// When to pull the image from its registry
    #[arg(long, value_enum, default_value_t = PullTemplate::Missing)]
    pub(crate) pull_template: PullTemplate,
    /// Take the image from the local Docker, Podman or containerd
    #[arg(long, requires = "template")]
    pub(crate) load_local_template: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PullTemplate {
    /// Each time
    Always,
    /// Unless it was pulled before
    #[default]
    Missing,
    /// Only use what was pulled before
    Never,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Agents: claude, codex, copilot, gemini, cagent, kiro, opencode, shell.

Examples:
  sandbox run                               a shell around the current folder
  sandbox run claude ~/project              Claude Code around ~/project
  sandbox run claude . ~/docs:ro            with a second folder that can only be read
  sandbox run --hide .env --memory 4g codex .
  sandbox run claude-project                back into a sandbox, by its name
  sandbox run claude . -- --continue        with arguments for the agent
  sandbox run claude \"Fix the tests\"        the same, where no folder is called so

Environment, volumes, hidden files and credentials are fixed when a sandbox is made; memory, \
processors and ports change with the next start. On a sandbox that is there, -e holds for this run, and what would keep \
something from the agent that it has (--hide, --read-only, :ro, --credentials none, --isolation microvm) is an error.")]
pub(crate) struct RunArgs {
    /// An agent, or the name of a sandbox to go back to
    #[arg(value_name = "AGENT|SANDBOX", default_value = "shell")]
    pub(crate) subject: String,
    /// Folders to share, at the same path inside; `:ro` for read-only [default: .]
    #[arg(value_name = "WORKSPACE")]
    pub(crate) workspaces: Vec<WorkspaceArg>,
    /// The primary folder, as an option
    #[arg(short, long, value_name = "PATH")]
    pub(crate) workspace: Option<WorkspaceArg>,
    #[command(flatten)]
    pub(crate) options: SandboxOptions,
    /// Start the sandbox and print its name, without running the agent
    #[arg(short, long, visible_alias = "detach")]
    pub(crate) detached: bool,
    /// Keys that leave the agent running and give the terminal back, as in `ctrl-p,ctrl-q` [default: none]
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<DetachKeys>,
    /// No talk about progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Arguments for the agent
    #[arg(last = true, value_name = "AGENT_ARGS")]
    pub(crate) agent_args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The agent: claude, codex, copilot, gemini, cagent, kiro, opencode or shell
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
The exit code is the command's own; 125 if the sandbox failed, 126 if the command cannot be \
run, 127 if there is no such command, 128 + N if signal N ended it.

Example:
  sandbox exec -it NAME bash")]
pub(crate) struct ExecArgs {
    /// Keep standard input connected
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set an environment variable; without `=VALUE`, pass on yours
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Set the environment variables that a file lists, one KEY=VALUE a line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Let the command run on by itself
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    pub(crate) detach: bool,
    /// Keys that leave the command running and give the terminal back; none if empty [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<DetachKeys>,
    /// User inside the sandbox: name or uid, with :group or :gid if need be [default: agent]
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Run it as root unless --user says otherwise; root inside has every privilege that there is
    #[arg(long)]
    pub(crate) privileged: bool,
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
