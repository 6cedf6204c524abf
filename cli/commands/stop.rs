//! `sandbox stop`

use std::process::ExitCode;

use crate::args::NamesArgs;
use crate::lifecycle;
use crate::report::{self, Outcome};
use crate::state::Paths;

pub(super) fn run(args: &NamesArgs) -> Outcome {
    let paths = Paths::from_env()?;
    // All names are known before anything stops.
    let sandboxes = args
        .names
        .iter()
        .map(|name| paths.open(name))
        .collect::<Result<Vec<_>, _>>()?;
    for sandbox in &sandboxes {
        lifecycle::stop(&paths, sandbox)?;
        report::print(&sandbox.record.name)?;
    }
    Ok(ExitCode::SUCCESS)
}
