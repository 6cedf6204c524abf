//! `sandbox policy diff`

use std::process::ExitCode;

use clap::Args;
use policy_lang::differences;

use super::source::file_or_sandbox;
use crate::policy_file;
use crate::report::{self, FAILED, Outcome};

/// `sandbox policy diff`
#[derive(Debug, Args)]
#[command(after_help = "\
What is shown are requests, not lines: one for each pair of rules that decide differently, newly allowed \
ones first. Order, spelling and form of the policies do not matter.

Exits with 0 if they mean the same, and with 1 if they do not.

Examples:
  sandbox policy diff team.policy new.policy
  sandbox policy diff NAME proxy-config.json        what a sandbox would gain and lose")]
pub(crate) struct DiffArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// A policy file in either form, or a sandbox
    pub(crate) before: String,
    /// The other one
    pub(crate) after: String,
}

pub(super) fn run(args: &DiffArgs) -> Outcome {
    let read = |text: &str| policy_file::read(&file_or_sandbox(text)?);
    let (before, after) = (read(&args.before)?.policy, read(&args.after)?.policy);
    let found = differences(&before, &after);
    if args.json {
        report::print_json(&found)?;
    } else {
        for difference in &found {
            report::print_raw(difference)?;
        }
        if found.is_empty() {
            report::say("they mean the same");
        }
    }
    Ok(match found.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    })
}
