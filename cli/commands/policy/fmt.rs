//! `sandbox policy fmt`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use proxy::Form;
use similar::TextDiff;

use super::output;
use super::source::Text;
use crate::report::{self, FAILED, Failure, Outcome};

/// `sandbox policy fmt`
#[derive(Debug, Args)]
#[command(after_help = "\
Comments stay, one blank line stays, order stays; names are written as the proxy compares them. Both \
forms are written: the policy language, and proxy-config.json.

Exits with 0, or with 1 where --check found a file to change.")]
pub(crate) struct FmtArgs {
    /// Change nothing; print what would change
    #[arg(long)]
    pub(crate) check: bool,
    /// Policy files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

pub(super) fn run(args: &FmtArgs) -> Outcome {
    let mut code = ExitCode::SUCCESS;
    let mut written = Vec::new();
    // All files are read before one is written: a slip in the last must not leave half of the work done.
    for path in &args.files {
        let file = Text::read(path)?;
        let formatted = formatted(&file)?;
        if formatted != file.text {
            written.push((path, file.text, formatted));
        }
    }
    for (path, before, after) in &written {
        if args.check {
            report::print_raw(diff(&path.display().to_string(), before, after))?;
            code = ExitCode::from(FAILED);
        } else {
            output::write(path, after.as_bytes())?;
            report::say(format_args!("wrote `{}`", path.display()));
        }
    }
    Ok(code)
}

fn formatted(file: &Text) -> Result<String, Failure> {
    match file.form {
        Form::Language => Ok(file.language()?.to_string()),
        Form::Json => Ok(file.json()?.0.to_string()),
    }
}

/// A unified diff, as `diff -u` and `git` write it.
pub(super) fn diff(name: &str, before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after)
        .unified_diff()
        .header(&format!("{name} (now)"), &format!("{name} (new)"))
        .to_string()
}
