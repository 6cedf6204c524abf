//! `sandbox doctor`

use std::process::ExitCode;

use serde::Serialize;

use crate::args::DoctorArgs;
use crate::doctor::{self, Finding, Severity};
use crate::legacy;
use crate::report::{self, FAILED, Outcome};
use crate::state::Paths;

#[derive(Serialize)]
struct Answer<'a> {
    /// Whether sandboxes can start.
    ready: bool,
    findings: &'a [Finding],
    /// Installs every package that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    install: Option<&'a str>,
    /// Containers of Docker's older generation.
    legacy_sandboxes: usize,
}

pub(super) fn run(args: &DoctorArgs) -> Outcome {
    let paths = Paths::from_env()?;
    let findings = doctor::examine(&paths);
    let remedy = doctor::remedy(&findings);
    let ready = findings
        .iter()
        .all(|finding| finding.severity != Severity::Missing);
    let left = legacy::Found::look().map_or(0, |found| found.containers.len());
    if args.json {
        report::print_json(&Answer {
            ready,
            findings: &findings,
            install: remedy.as_deref(),
            legacy_sandboxes: left,
        })?;
    } else {
        for finding in &findings {
            let mark = match finding.severity {
                Severity::Good => "ok     ",
                Severity::Warning => "warning",
                Severity::Missing => "MISSING",
            };
            report::print(format_args!("{mark}  {}: {}", finding.what, finding.detail))?;
            if let Some(fix) = &finding.fix {
                report::print(format_args!("         fix: {fix}"))?;
            }
        }
        if let Some(remedy) = &remedy {
            report::print(format_args!("\nto install what is missing:\n  {remedy}"))?;
        }
        if left > 0 {
            report::print(format_args!(
                "\n{left} sandboxes of Docker's older generation are here: `sandbox legacy ls`"
            ))?;
        }
    }
    Ok(if ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}
