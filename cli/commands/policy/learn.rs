//! `sandbox policy learn`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use policy_lang::config::Document;
use policy_lang::language::{File, FileKind, Source};
use policy_lang::{LearnOptions, learn};
use proxy::Form;

use super::fmt::diff;
use super::log::LogSource;
use super::output;
use super::source::{PolicySource, Text};
use crate::report::{self, Failure, Outcome};

/// `sandbox policy learn`
#[derive(Debug, Args)]
#[command(after_help = "\
What was used and allowed is allowed; everything else is denied. The current policy's blocks, networks, \
bypasses, limits, credentials and tests stay. Nothing is changed: a diff against the current policy is \
printed for review.

Many names below one that somebody has registered become a wildcard; names below a public suffix such as \
`github.io` never do. Numbers, digests and segments with many values become `*` in paths.

Examples:
  sandbox policy learn --sandbox NAME
  sandbox policy learn --log network.jsonl --config team.policy -o learnt.policy")]
pub(crate) struct LearnArgs {
    #[command(flatten)]
    pub(crate) log: LogSource,
    #[command(flatten)]
    pub(crate) source: PolicySource,
    /// Write the policy to this file instead of printing a diff
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Make a wildcard of so many names directly below one; 0 for never
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) wildcards_from: usize,
    /// Allow whole hosts, whatever the method and path
    #[arg(long)]
    pub(crate) hosts_only: bool,
}

pub(super) fn run(args: &LearnArgs) -> Outcome {
    let records = args.log.records(args.source.sandbox.as_ref())?;
    let path = args.source.file()?;
    let current = current(&Text::read(&path)?)?;
    let base = path.parent().map(PathBuf::from).unwrap_or_default();
    let mut loader = |_: FileKind, name: &str, from: &str| {
        let dir = base.join(from);
        let file = dir.parent().unwrap_or(&base).join(name);
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let name = name.into();
        Ok(Source { name, text })
    };
    let options = LearnOptions {
        wildcard_from: args.wildcards_from,
        paths: !args.hosts_only,
    };
    let learnt = learn(&records, &current, &mut loader, options);
    for record in &learnt.blocked {
        report::say(format_args!(
            "not learnt: {} was allowed once, and the current policy blocks it",
            record.target
        ));
    }
    let text = learnt.file.to_string();
    match &args.output {
        Some(path) => output::write(path, text.as_bytes())?,
        None => report::print_raw(diff(
            &path.display().to_string(),
            &current.to_string(),
            &text,
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The current policy as a file of the language.
fn current(file: &Text) -> Result<File, Failure> {
    match file.form {
        Form::Language => file.language(),
        Form::Json => {
            let document: Document = file.json()?.0;
            File::parse(&document.to_language(), &file.name)
                .map_err(|_| Failure::new("the policy cannot be written in the policy language"))
        }
    }
}
