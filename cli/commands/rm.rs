//! `sandbox rm`

use std::fs;
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
        lifecycle::forget_container(&sandbox)?;
    }
    let dir = paths.sandbox(name);
    let cannot = |error| Failure::doing(format!("cannot remove `{}`", dir.display()), &error);
    // It is gone as a whole first: a removal cut short leaves no half of a sandbox.
    let _writing = state::writing(&paths.sandboxes()).map_err(cannot)?;
    let doomed = tempfile::Builder::new()
        .prefix(state::DRAFT)
        .tempdir_in(paths.sandboxes())
        .map_err(cannot)?;
    fs::rename(&dir, doomed.path().join("sandbox")).map_err(cannot)?;
    doomed.close().map_err(cannot)
}
