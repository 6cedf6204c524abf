//! `sandbox version`

use std::process::ExitCode;

use crate::report::{self, Outcome};

pub(super) fn run() -> Outcome {
    report::print(concat!("sandbox v", env!("CARGO_PKG_VERSION")))?;
    Ok(ExitCode::SUCCESS)
}
