//! `sandbox version`

use std::process::ExitCode;

use crate::report::{self, Outcome};

/// The commit that this was built from; `make build` tells.
const COMMIT: Option<&str> = option_env!("SANDBOX_COMMIT");

/// Docker's shape: program, version, commit.
pub(super) fn run() -> Outcome {
    let version = concat!("sandbox v", env!("CARGO_PKG_VERSION"));
    match COMMIT {
        Some(commit) => report::print(format_args!("{version} {commit}"))?,
        None => report::print(version)?,
    }
    Ok(ExitCode::SUCCESS)
}
