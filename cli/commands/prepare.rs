//! `sandbox prepare`

use crate::args::TemplateOptions;
use crate::report::Outcome;

/// The template that sandboxes have unless another is asked for.
const DEFAULT: &str = "shell";

pub(super) fn run(options: &TemplateOptions) -> Outcome {
    super::template::prepare(DEFAULT, options)
}
