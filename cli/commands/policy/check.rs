//! `sandbox policy check`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use policy_lang::{Origin, Policy};
use proxy::{ConfigError, PolicyFile};

use super::finding::{Finding, Severity};
use super::source::PolicySource;
use crate::report::{self, FAILED, Failure, Outcome};

/// `sandbox policy check`
#[derive(Debug, Args)]
#[command(after_help = "\
Errors are what makes the proxy refuse the file, and rules that cannot be enforced. Warnings are what its author may not have meant: rules \
without effect, rules that say more than they should, contradictions.

Exits with 0; with 1 for an error, or for a warning where --strict is given.

Examples:
  sandbox policy check team.policy
  sandbox policy check --strict --format github policies/*.policy     in a CI job")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) source: PolicySource,
    /// Policy files, in either form
    #[arg(value_name = "FILE", conflicts_with_all = ["sandbox", "config"])]
    pub(crate) files: Vec<PathBuf>,
    /// Fail on warnings, too
    #[arg(long)]
    pub(crate) strict: bool,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Print JSON: the same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One list of objects
    Json,
    /// Annotations for GitHub Actions
    Github,
}

pub(super) fn run(args: &CheckArgs) -> Outcome {
    let files = match args.files.is_empty() {
        true => vec![args.source.file()?],
        false => args.files.clone(),
    };
    let format = if args.json { Format::Json } else { args.format };
    let mut findings = Vec::new();
    for path in &files {
        let before = findings.len();
        let policy = check(path, &mut findings)?;
        if format == Format::Text {
            let here = findings.get(before..).unwrap_or_default();
            for finding in here {
                report::say(finding.render());
            }
            if let Some(policy) = policy {
                report::say(summary(path, &policy, here));
            }
        }
    }
    match format {
        Format::Text => {}
        Format::Json => report::print_json(&findings)?,
        Format::Github => {
            for finding in &findings {
                report::print(finding.annotation())?;
            }
        }
    }
    let fails = |finding: &Finding| args.strict || finding.severity == Severity::Error;
    Ok(match findings.iter().any(fails) {
        true => ExitCode::from(FAILED),
        false => ExitCode::SUCCESS,
    })
}

/// Adds what is wrong with a file; the policy, if it is one.
fn check(path: &Path, findings: &mut Vec<Finding>) -> Result<Option<Policy>, Failure> {
    match PolicyFile::read(path) {
        Ok(file) => {
            let lints = file.policy.lint();
            let warnings = file.warnings.iter().chain(&lints);
            let before = findings.len();
            findings.extend(warnings.map(|warning| Finding::warning(path, warning)));
            if let Some(new) = findings.get_mut(before..) {
                new.sort_by_key(|finding| (finding.file.clone(), finding.line, finding.column));
            }
            findings.dedup();
            Ok(Some(file.policy))
        }
        Err(ConfigError::Invalid(errors)) => {
            findings.extend(errors.iter().map(|error| Finding::error(path, error)));
            Ok(None)
        }
        Err(error @ ConfigError::Unreadable { .. }) => Err(Failure::of(&error)),
    }
}

fn summary(path: &Path, policy: &Policy, findings: &[Finding]) -> String {
    let rules = policy.rules().iter();
    let written = rules.filter(|rule| rule.origin != Origin::BuiltIn).count();
    let many = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let some = |count: usize, what: &str| match count {
        0 => String::new(),
        count => format!(", {}", many(count, what)),
    };
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    let state = match errors {
        0 => "is good",
        _ => "says what cannot be enforced",
    };
    format!(
        "`{}` {state}: default {}, {}{}{}{}",
        path.display(),
        policy.default_action(),
        many(written, "rule"),
        some(policy.listed_names(), "listed name"),
        some(errors, "error"),
        some(findings.len() - errors, "warning"),
    )
}
