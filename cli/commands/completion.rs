//! `sandbox completion`: for shells, and manual pages.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Cli, CompletionArgs, CompletionKind};
use crate::report::{self, Failure, Outcome};

pub(super) fn run(args: &CompletionArgs) -> Outcome {
    let shell = match args.kind {
        CompletionKind::Bash => Shell::Bash,
        CompletionKind::Elvish => Shell::Elvish,
        CompletionKind::Fish => Shell::Fish,
        CompletionKind::Powershell => Shell::PowerShell,
        CompletionKind::Zsh => Shell::Zsh,
        CompletionKind::Man => return manual(args.dir.as_deref().unwrap_or(Path::new("."))),
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sandbox", &mut script);
    report::print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// One page a command, named as git names its own: `sandbox-network-log.1`.
fn manual(dir: &Path) -> Outcome {
    let cannot = |error| Failure::doing(format!("cannot write to `{}`", dir.display()), &error);
    std::fs::create_dir_all(dir).map_err(cannot)?;
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, dir).map_err(cannot)?;
    report::print(dir.display())?;
    Ok(ExitCode::SUCCESS)
}
