//! `sandbox template …` and `sandbox save`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::TemplateOptions;
use crate::name::SandboxName;

/// What can be done with templates.
#[derive(Debug, Subcommand)]
pub(crate) enum TemplateCommand {
    /// Build or fetch a template now, so that the first sandbox need not wait
    Build(TemplateBuildArgs),
    /// List the templates on this machine
    #[command(visible_alias = "list")]
    Ls(TemplateLsArgs),
    /// Remove templates that no sandbox is made of
    #[command(visible_alias = "remove")]
    Rm(TemplateRmArgs),
    /// Make a template of a sandbox; the same as `sandbox save`
    Save(SaveArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Recipes are built from your distribution's packages and npm's, with the package sources that this \
machine is configured for: claude, codex, copilot, gemini, opencode, shell.

Examples:
  sandbox template build claude
  sandbox template build myorg/my-template:v1
  sandbox template build ./saved.tar")]
pub(crate) struct TemplateBuildArgs {
    /// A recipe, an image's name, or a saved image's path [default: shell]
    #[arg(value_name = "TEMPLATE")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) options: TemplateOptions,
}

#[derive(Debug, Args)]
pub(crate) struct TemplateLsArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print names only, one a line
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TemplateRmArgs {
    /// Names as `sandbox template ls` prints them
    #[arg(required = true, value_name = "TEMPLATE")]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The template has the sandbox's own file system: what was installed and written outside of the shared \
folders, secrets that were written there included. Images and containers of a Docker inside are left out.

Examples:
  sandbox save NAME my-tools:v1 && sandbox create -t my-tools:v1 shell .
  sandbox save -o my-tools.tar NAME my-tools:v1      a file that `docker load` reads")]
pub(crate) struct SaveArgs {
    /// The sandbox
    pub(crate) sandbox: SandboxName,
    /// What to call it, as in `my-tools:v1`
    pub(crate) tag: String,
    /// Write an archive instead of a template
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
