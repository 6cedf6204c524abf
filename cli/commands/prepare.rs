//! `sandbox prepare`

use std::process::ExitCode;

use crate::lifecycle;
use crate::progress::Progress;
use crate::report::{self, Outcome};
use crate::state::Paths;

/// The template that sandboxes have unless another is asked for.
const DEFAULT: &str = "shell";

pub(super) fn run() -> Outcome {
    let paths = Paths::from_env()?;
    let progress = Progress::new();
    let image = lifecycle::prepare(&paths, DEFAULT, &progress)?;
    drop(progress);
    report::print(image.display())?;
    Ok(ExitCode::SUCCESS)
}
