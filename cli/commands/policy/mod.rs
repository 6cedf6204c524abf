//! `sandbox policy`: one file a subcommand.

mod check;
mod convert;
mod diff;
mod explain;
mod finding;
mod fmt;
mod import;
mod learn;
mod log;
mod output;
mod replay;
mod schema;
mod source;
mod test;

use clap::Subcommand;

use crate::report::Outcome;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say what would happen to a request, and why every other rule lost
    Explain(explain::ExplainArgs),
    /// Check policy files: every error, and what their author may not have meant
    Check(check::CheckArgs),
    /// Run the tests of a policy: its `expect` lines, and those of test files
    Test(test::TestArgs),
    /// Write policy files in their one canonical form
    Fmt(fmt::FmtArgs),
    /// Show requests on which two policies do not agree
    Diff(diff::DiffArgs),
    /// Show which recorded requests would be judged otherwise
    Replay(replay::ReplayArgs),
    /// Write a policy that admits what was used, for review
    Learn(learn::LearnArgs),
    /// Translate another tool's policy
    Import(import::ImportArgs),
    /// Turn a policy into its other form: the policy language or proxy-config.json
    Convert(convert::ConvertArgs),
    /// Print the JSON Schema of proxy-config.json
    Schema,
}

pub(super) fn run(command: PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::Explain(args) => explain::run(&args),
        PolicyCommand::Check(args) => check::run(&args),
        PolicyCommand::Test(args) => test::run(&args),
        PolicyCommand::Fmt(args) => fmt::run(&args),
        PolicyCommand::Diff(args) => diff::run(&args),
        PolicyCommand::Replay(args) => replay::run(&args),
        PolicyCommand::Learn(args) => learn::run(&args),
        PolicyCommand::Import(args) => import::run(&args),
        PolicyCommand::Convert(args) => convert::run(&args),
        PolicyCommand::Schema => schema::run(),
    }
}
