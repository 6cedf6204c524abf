//! The `sandbox` command.
//!
//! One file a command in `commands/`; `report` words failures; `state` knows the disk.

mod agent;
mod args;
mod argv;
mod channel;
mod choices;
mod commands;
mod create;
mod credentials;
mod doctor;
mod environment;
mod git;
mod guest;
mod inside;
mod isolation;
mod legacy;
mod lifecycle;
mod name;
mod policy_file;
mod progress;
mod publish;
mod report;
mod risk;
mod seeds;
mod settings;
mod size;
mod snapshot;
mod state;
mod table;
mod template;
mod volume;
mod warnings;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

fn main() -> ExitCode {
    let cli = parse();
    match commands::run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            report::say(&failure);
            failure.exit_code()
        }
    }
}

/// Reads the command line; ends the process where it is wrong or asks for help.
fn parse() -> args::Cli {
    let mut line: Vec<_> = std::env::args_os().collect();
    let mut command = args::Cli::command();
    if line.first().is_some_and(|program| argv::is_plugin(program)) {
        command = command.bin_name("docker sandbox");
        line = argv::without_docker(line);
    }
    argv::spell_out_version(&mut line);
    command.build();
    let line = argv::mark_agent_args(line, &command);
    let read = command.try_get_matches_from(line);
    read.and_then(|matches| args::Cli::from_arg_matches(&matches))
        .unwrap_or_else(|error| error.exit())
}
