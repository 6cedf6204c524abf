//! Looking after the machine and the program itself.

use clap::{Args, Subcommand, ValueEnum};

use crate::name::SandboxName;

#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The first part lists what this machine may run by itself, without anybody starting it: git's hooks and \
settings, editors' and agents' settings, what a shell reads on entering the folder. Look at it before you \
commit, open an editor or start an agent there. Compared is with the folder as it was when the sandbox was \
made, or when --accept was last given; what you changed yourself is listed too.")]
pub(crate) struct DiffArgs {
    /// The sandbox
    pub(crate) sandbox: SandboxName,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Take the folders as they are now for the next comparison
    #[arg(long, conflicts_with = "json")]
    pub(crate) accept: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sandbox completion bash > ~/.local/share/bash-completion/completions/sandbox
  sandbox completion man ~/.local/share/man/man1")]
pub(crate) struct CompletionArgs {
    /// The shell; `man` writes manual pages
    #[arg(value_enum)]
    pub(crate) kind: CompletionKind,
    /// Where manual pages go
    #[arg(required_if_eq("kind", "man"))]
    pub(crate) dir: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompletionKind {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
    Man,
}

/// Sandboxes of Docker's older, container generation.
#[derive(Debug, Subcommand)]
pub(crate) enum LegacyCommand {
    /// List containers and volumes that Docker's older generation left behind
    Ls(LegacyLsArgs),
    /// Make a sandbox of each container, with what was installed in it; the container stays
    Migrate(LegacyNamesArgs),
    /// Remove the containers, and with --volume the credentials' volume
    Rm(LegacyRmArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LegacyLsArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LegacyNamesArgs {
    /// Names or ids as `sandbox legacy ls` prints them
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LegacyRmArgs {
    /// Names or ids as `sandbox legacy ls` prints them; none for all
    #[arg(value_name = "CONTAINER")]
    pub(crate) names: Vec<String>,
    /// Remove the volume `docker-claude-sandbox-data` too, and the keys in it
    #[arg(long)]
    pub(crate) volume: bool,
    /// Remove every one that there is
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
}
