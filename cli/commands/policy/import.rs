//! `sandbox policy import`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use policy_lang::config::Document;
use policy_lang::import::{Format, Note, import};
use serde::Serialize;

use super::convert::To;
use super::output;
use super::source::listed;
use crate::report::{self, Failure, Outcome, USAGE};

/// `sandbox policy import`
#[derive(Debug, Args)]
#[command(after_help = "\
Formats:
  sbx              commands of `sbx policy`, or what `sbx policy ls` prints
  sandbox-runtime  settings of Claude Code and of its sandbox-runtime (JSON)
  smokescreen      an ACL in YAML
  squid            squid.conf: acl dstdomain, dst and port, http_access
  hosts, adblock   what they name is blocked

What cannot be translated, or not exactly, is listed with its line and the reason. Look the result over \
with `sandbox policy check`, and compare it with `sandbox policy diff`.

Examples:
  sandbox policy import squid.conf -o squid.policy
  sandbox policy import --from smokescreen --service builder acl.yaml")]
pub(crate) struct ImportArgs {
    /// The format [default: what the file looks like]
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub(crate) from: Option<Format>,
    /// The service, of formats that have several in one file
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// The form to write
    #[arg(long, value_enum, default_value_t = To::Language)]
    pub(crate) to: To,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print JSON: the policy and the list
    #[arg(long, conflicts_with = "output")]
    pub(crate) json: bool,
    /// The file to translate
    pub(crate) file: PathBuf,
}

#[derive(Serialize)]
struct Answer<'a> {
    format: Format,
    policy: &'a str,
    notes: &'a [Note],
}

pub(super) fn run(args: &ImportArgs) -> Outcome {
    let cannot = || format!("cannot read `{}`", args.file.display());
    let bytes = std::fs::read(&args.file).map_err(|error| Failure::doing(cannot(), &error))?;
    let text = String::from_utf8_lossy(&bytes);
    let format = match args.from.or_else(|| Format::detect(&text)) {
        Some(format) => format,
        None => {
            let message = format!("`{}` looks like none of the formats", args.file.display());
            return Err(Failure::new(message)
                .help("name its format with `--from`")
                .code(USAGE));
        }
    };
    let imported = import(&text, format, args.service.as_deref())
        .map_err(|error| Failure::doing(format!("`{}`", args.file.display()), &error))?;
    let policy = match args.to {
        To::Language => imported.file.to_string(),
        To::Json => Document::from_file(&imported.file)
            .map_err(|errors| listed(&errors))?
            .to_string(),
    };
    if args.json {
        report::print_json(&Answer {
            format,
            policy: &policy,
            notes: &imported.notes,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    match &args.output {
        Some(path) => output::write(path, policy.as_bytes())?,
        None => report::print_raw(&policy)?,
    }
    for note in &imported.notes {
        report::say(format_args!("{}: {note}", args.file.display()));
    }
    report::say(match imported.notes.len() {
        0 => format!("read as {format}; all of it is translated"),
        1 => format!("read as {format}; 1 thing is not translated, or not exactly"),
        count => format!("read as {format}; {count} things are not translated, or not exactly"),
    });
    Ok(ExitCode::SUCCESS)
}

fn format(name: &str) -> Result<Format, String> {
    let known = Format::ALL.into_iter().find(|format| format.name() == name);
    known.ok_or_else(|| {
        let names = Format::ALL.map(Format::name);
        format!("the formats are {}", names.join(", "))
    })
}
