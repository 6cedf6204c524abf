//! `sandbox policy convert`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use policy_lang::config::Document;
use proxy::Form;

use super::output;
use super::source::{Text, listed};
use crate::report::{self, Outcome};

/// `sandbox policy convert`
#[derive(Debug, Args)]
#[command(after_help = "\
Either form says all that the other can. Comments become the key `comments`; keys that nobody knows \
become comments that start with `json`; either way they come back. Files that are included or listed \
stay files.

Examples:
  sandbox policy convert team.policy -o proxy-config.json
  sandbox policy convert ~/.sandboxd/proxy-config.json --to language")]
pub(crate) struct ConvertArgs {
    /// The form to write [default: the other one]
    #[arg(long, value_enum)]
    pub(crate) to: Option<To>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The policy file
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// proxy-config.json
    Json,
    /// The policy language
    Language,
}

pub(super) fn run(args: &ConvertArgs) -> Outcome {
    let file = Text::read(&args.file)?;
    let to = args.to.unwrap_or(match file.form {
        Form::Json => To::Language,
        Form::Language => To::Json,
    });
    let text = match (file.form, to) {
        (Form::Json, To::Language) => read(&file)?.to_language(),
        (Form::Json, To::Json) => read(&file)?.to_string(),
        (Form::Language, To::Language) => file.language()?.to_string(),
        (Form::Language, To::Json) => Document::from_file(&file.language()?)
            .map_err(|errors| listed(&errors))?
            .to_string(),
    };
    match &args.output {
        Some(path) => output::write(path, text.as_bytes())?,
        None => report::print_raw(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells about keys that have no meaning, which a conversion keeps.
fn read(file: &Text) -> Result<Document, report::Failure> {
    let (document, warnings) = file.json()?;
    for warning in warnings {
        report::say(warning);
    }
    Ok(document)
}
