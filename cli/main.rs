//! The `sandbox` command.
//!
//! One file a command in `commands/`; `report` words failures; `state` knows the disk.

mod agent;
mod args;
mod channel;
mod commands;
mod create;
mod inside;
mod lifecycle;
mod name;
mod policy_file;
mod progress;
mod report;
mod state;
mod template;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            report::say(&failure);
            failure.exit_code()
        }
    }
}
