//! `sandbox prepare`

use std::process::ExitCode;

use crate::args::TemplateOptions;
use crate::lifecycle;
use crate::progress::Progress;
use crate::report::{self, Outcome};
use crate::state::Paths;
use crate::template::Template;

/// The template that sandboxes have unless another is asked for.
const DEFAULT: &str = "shell";

pub(super) fn run(options: &TemplateOptions) -> Outcome {
    let paths = Paths::from_env()?;
    let template = Template::choose(DEFAULT, options)?;
    let progress = Progress::new();
    let image = lifecycle::prepare(&paths, &template, &progress)?;
    drop(progress);
    report::print(image.display())?;
    Ok(ExitCode::SUCCESS)
}
