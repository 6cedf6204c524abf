//! `sandbox rm`

use std::process::ExitCode;

use crate::args::NamesArgs;
use crate::lifecycle;
use crate::name::SandboxName;
use crate::report::{self, Failure, Outcome};
use crate::state::{self, Paths};

pub(super) fn run(args: &NamesArgs) -> Outcome {
    let paths = Paths::from_env()?;
    for name in &args.names {
        if !paths.sandbox(name).join("sandbox.json").exists() {
            // Says that there is none, in the usual words.
            paths.open(name)?;
        }
    }
    for name in &args.names {
        remove(&paths, name)?;
        report::print(name)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes a sandbox, also one whose record is damaged.
pub(super) fn remove(paths: &Paths, name: &SandboxName) -> Result<(), Failure> {
    if let Ok(Some(sandbox)) = paths.find(name) {
        lifecycle::stop(paths, &sandbox)?;
    }
    state::remove(&paths.sandbox(name))
}
