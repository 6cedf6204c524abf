//! `sandbox policy schema`

use std::process::ExitCode;

use crate::report::{self, Outcome};

pub(super) fn run() -> Outcome {
    report::print_json(&policy_lang::config::schema())?;
    Ok(ExitCode::SUCCESS)
}
