//! `sandbox policy replay`

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;

use clap::Args;
use policy_lang::{Action, LocalAddrs, Policy, Record};
use serde::Serialize;

use super::log::LogSource;
use super::source::{file_or_sandbox, local_addrs};
use crate::name::SandboxName;
use crate::policy_file;
use crate::report::{self, FAILED, Outcome};

/// `sandbox policy replay`
#[derive(Debug, Args)]
#[command(after_help = "\
Every recorded request is put to the new policy: host, method, path, and the address it went to. Those \
that it would judge otherwise are shown, newly denied ones first.

Exits with 0 if there is none, and with 1 if there is.

Examples:
  sandbox policy replay --log network.jsonl new.policy
  sandbox policy replay --sandbox NAME new.policy")]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) source: LogSource,
    /// The log of this sandbox
    #[arg(long, value_name = "SANDBOX", conflicts_with = "log")]
    pub(crate) sandbox: Option<SandboxName>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The new policy: a file in either form, or a sandbox
    #[arg(value_name = "NEW")]
    pub(crate) policy: String,
}

/// Requests that would be judged otherwise, for one reason.
#[derive(Debug, Serialize)]
struct Flip {
    before: Action,
    after: Action,
    method: String,
    target: String,
    path: String,
    count: usize,
    reason: &'static str,
    because: String,
}

pub(super) fn run(args: &ReplayArgs) -> Outcome {
    let records = args.source.records(args.sandbox.as_ref())?;
    let policy = policy_file::read(&file_or_sandbox(&args.policy)?)?.policy;
    let flips = flips(&records, &policy, &local_addrs()?);
    if args.json {
        report::print_json(&flips)?;
    } else {
        for flip in &flips {
            report::print(flip)?;
        }
    }
    let count: usize = flips.iter().map(|flip| flip.count).sum();
    report::say(format_args!(
        "{count} of {} requests would be judged otherwise",
        records.len()
    ));
    Ok(match flips.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    })
}

fn flips(records: &[Record], policy: &Policy, local: &LocalAddrs) -> Vec<Flip> {
    let mut flips: BTreeMap<(bool, String, String, String), Flip> = BTreeMap::new();
    for record in records {
        let (after, reason) = policy.replay(record, local);
        if after.is_allow() == record.allowed {
            continue;
        }
        let (method, path) = match &record.request {
            Some((method, path)) => (method.clone(), path.clone()),
            None => ("CONNECT".to_owned(), String::new()),
        };
        let target = record.target.to_string();
        let key = (
            after.is_allow(),
            target.clone(),
            path.clone(),
            method.clone(),
        );
        let flip = flips.entry(key).or_insert_with(|| Flip {
            before: if record.allowed {
                Action::Allow
            } else {
                Action::Deny
            },
            after,
            method,
            target,
            path,
            count: 0,
            reason: reason.code(),
            because: policy.describe(reason),
        });
        flip.count += 1;
    }
    flips.into_values().collect()
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = match self.count {
            1 => String::new(),
            count => format!(" ({count} times)"),
        };
        let what = match self.after {
            Action::Allow => "newly allowed",
            Action::Deny => "newly denied",
        };
        write!(
            f,
            "{what}: {} {}{}{times}: {}",
            self.method, self.target, self.path, self.because
        )
    }
}
