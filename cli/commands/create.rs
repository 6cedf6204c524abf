//! `sandbox create`

use std::process::ExitCode;

use crate::agent::Agent;
use crate::args::CreateArgs;
use crate::create::{self, Wanted};
use crate::progress::Progress;
use crate::report::{self, Outcome};
use crate::state::Paths;

pub(super) fn run(args: CreateArgs) -> Outcome {
    let paths = Paths::from_env()?;
    let wanted = Wanted {
        agent: Agent::find(&args.agent)?,
        workspaces: args.workspaces,
        options: args.options,
    };
    let progress = Progress::new();
    let sandbox = create::create(&paths, &wanted, &progress)?;
    drop(progress);
    let name = &sandbox.record.name;
    report::print(name)?;
    if !args.quiet {
        report::say(format_args!(
            "created sandbox `{name}`; go in with `sandbox run {name}`"
        ));
    }
    Ok(ExitCode::SUCCESS)
}
