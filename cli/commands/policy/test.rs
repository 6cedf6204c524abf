//! `sandbox policy test`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use policy_lang::language::no_files;
use policy_lang::{Action, Expectation, Origin, Policy, Snippet};
use proxy::Form;
use serde::Serialize;

use super::finding::beside;
use super::source::{PolicySource, Text, listed};
use crate::policy_file;
use crate::report::{self, FAILED, Failure, Outcome};

/// `sandbox policy test`
#[derive(Debug, Args)]
#[command(after_help = "\
A test is a line of the policy language, in a policy or in a file of its own:

  expect allow GET https://api.github.com/repos/myorg/x
  expect deny https://evil.example.org/

A file that holds nothing but such lines is a test file; it is run against every policy named here, or \
against the default policy file. Names are not resolved: what is tested is the verdict on host, method \
and path.

Exits with 0; with 1 where a test fails, or where there is none.

Examples:
  sandbox policy test team.policy
  sandbox policy test team.policy tests/*.policy
  sandbox policy test --sandbox NAME tests.policy")]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) source: PolicySource,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Policies and test files
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// One expectation, held against one policy.
#[derive(Serialize)]
struct Test {
    policy: PathBuf,
    file: PathBuf,
    line: u32,
    column: u32,
    method: String,
    url: String,
    expected: Action,
    found: Action,
    passed: bool,
    reason: &'static str,
    because: String,
}

pub(super) fn run(args: &TestArgs) -> Outcome {
    let (policies, tests) = sort(args)?;
    let mut results = Vec::new();
    for path in &policies {
        let policy = policy_file::read(path)?.policy;
        let own = policy.expectations().iter();
        results.extend(own.map(|expectation| held(path, path, expectation, &policy)));
        for (file, expectations) in &tests {
            let more = expectations.iter();
            results.extend(more.map(|expectation| held(path, file, expectation, &policy)));
        }
    }
    if args.json {
        report::print_json(&results)?;
    } else {
        for failed in results.iter().filter(|test| !test.passed) {
            report::say(shown(failed));
        }
    }
    let failed = results.iter().filter(|test| !test.passed).count();
    let passed = results.len() - failed;
    report::say(match results.is_empty() {
        true => "there is no `expect` line to run".to_owned(),
        false => format!("{passed} passed, {failed} failed"),
    });
    Ok(match failed == 0 && !results.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    })
}

type TestFile = (PathBuf, Vec<Expectation>);

/// Which of the files are policies, and the expectations of those that are tests.
fn sort(args: &TestArgs) -> Result<(Vec<PathBuf>, Vec<TestFile>), Failure> {
    let mut policies = Vec::new();
    if args.source.is_given() {
        policies.push(args.source.file()?);
    }
    let mut tests = Vec::new();
    for path in &args.files {
        let text = Text::read(path)?;
        match text.form {
            Form::Json => policies.push(path.clone()),
            Form::Language => {
                let file = text.language()?;
                if file.is_test() {
                    tests.push((path.clone(), expectations(&file)?));
                } else {
                    policies.push(path.clone());
                }
            }
        }
    }
    if policies.is_empty() {
        policies.push(args.source.file()?);
    }
    Ok((policies, tests))
}

fn expectations(file: &policy_lang::language::File) -> Result<Vec<Expectation>, Failure> {
    let (policy, _) = file.compile(&mut no_files).map_err(|errors| {
        let errors: Vec<_> = errors.into_iter().map(Into::into).collect();
        listed(&errors)
    })?;
    Ok(policy.expectations().to_vec())
}

fn held(path: &Path, named: &Path, expectation: &Expectation, policy: &Policy) -> Test {
    let found = policy.verdict_on(expectation);
    let (source, at) = match &expectation.origin {
        Origin::File { source, at } => (&**source, *at),
        Origin::BuiltIn => ("built in", policy_lang::Position::START),
    };
    // A policy's own expectations may stand in a file that it includes; a test file includes none.
    let file = match path == named {
        true => beside(path, source),
        false => named.to_owned(),
    };
    Test {
        policy: path.to_owned(),
        file,
        line: at.line,
        column: at.column,
        method: expectation.method.to_string(),
        url: expectation.url.to_string(),
        expected: expectation.action,
        found: found.action,
        passed: found.action == expectation.action,
        reason: found.reason.code(),
        because: policy.describe(found.reason),
    }
}

/// A failed test with its line, for a terminal.
fn shown(test: &Test) -> String {
    let text = fs::read_to_string(&test.file).unwrap_or_default();
    let at = policy_lang::Position {
        line: test.line,
        column: test.column,
    };
    let line = usize::try_from(test.line.saturating_sub(1))
        .ok()
        .and_then(|index| text.lines().nth(index))
        .unwrap_or("");
    let statement = line.split(" #").next().unwrap_or(line).trim();
    let title = format!(
        "error: expected {}, found {}: {} {}",
        test.expected, test.found, test.method, test.url
    );
    let name = test.file.display().to_string();
    let mut out = Snippet::new(&name, at, statement.chars().count()).render(&title, &text, None);
    out.push_str(&format!(
        "  = {} in `{}`: {}",
        test.found,
        test.policy.display(),
        test.because
    ));
    out
}
