//! Requests from logs, for the commands that learn from them.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;
use policy_lang::{Record, RequestPath, Target};
use proxy::audit::{self, Action, Event, Kind, ReadError};

use crate::name::SandboxName;
use crate::report::{self, Failure, USAGE};
use crate::state::Paths;

/// Which log.
#[derive(Debug, Args)]
pub(crate) struct LogSource {
    /// A log, as `sandbox proxy --log` and sandboxes write it; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Vec<PathBuf>,
}

impl LogSource {
    /// The requests in the logs named, or in those of `sandbox`.
    pub(super) fn records(&self, sandbox: Option<&SandboxName>) -> Result<Vec<Record>, Failure> {
        let mut files = self.log.clone();
        if let Some(name) = sandbox
            && files.is_empty()
        {
            let log = Paths::from_env()?.open(name)?.network_log();
            // What was before the last rotation, then what came since.
            let logs = [log.with_extension("1"), log];
            files.extend(logs.into_iter().filter(|log| log.exists()));
        }
        if files.is_empty() && sandbox.is_none() {
            return Err(Failure::new("there is no log to read")
                .help("name one with `--log FILE`, or a sandbox with `--sandbox NAME`")
                .code(USAGE));
        }
        let mut records = Vec::new();
        for file in &files {
            read(file, &mut records)?;
        }
        Ok(records)
    }
}

fn read(path: &Path, records: &mut Vec<Record>) -> Result<(), Failure> {
    let cannot = || format!("cannot read `{}`", path.display());
    let file = File::open(path).map_err(|error| Failure::doing(cannot(), &error))?;
    for event in audit::read(BufReader::new(file)) {
        match event {
            Ok(event) => records.extend(record(&event)),
            Err(error @ ReadError::Line { .. }) => {
                report::say(Failure::doing(format!("`{}`", path.display()), &error));
            }
            Err(ReadError::Io(error)) => return Err(Failure::doing(cannot(), &error)),
        }
    }
    Ok(())
}

/// A line of the log as a request; `None` if it is about none, or about one that had no target.
fn record(event: &Event) -> Option<Record> {
    if event.kind == Kind::Config {
        return None;
    }
    let target = match &event.target {
        Some(target) => Target::parse(target, None).ok()?,
        None => Target::from_url(&event.url).ok()?,
    };
    Some(Record {
        target,
        request: request(event),
        address: event.address.map(|address| address.ip()),
        allowed: event.action == Action::Allowed,
    })
}

/// Method and path, where the proxy saw them whole.
fn request(event: &Event) -> Option<(String, String)> {
    if event.kind == Kind::Tunnel || event.method == "CONNECT" {
        return None;
    }
    let (_, rest) = event.url.split_once("://")?;
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    RequestPath::parse(path).ok()?;
    Some((event.method.clone(), path.to_owned()))
}
