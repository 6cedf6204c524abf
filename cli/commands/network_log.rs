//! `sandbox network log`

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::ExitCode;

use proxy::audit::{self, Event, Kind, ReadError};
use serde::Serialize;

use crate::args::NetworkLogArgs;
use crate::report::{self, Failure, Outcome};
use crate::state::Paths;

#[derive(Serialize)]
struct Entries<'a> {
    entries: &'a [Event],
}

pub(super) fn run(args: &NetworkLogArgs) -> Outcome {
    let paths = Paths::from_env()?;
    let sandboxes = if args.names.is_empty() {
        paths.all()?.into_iter().filter_map(Result::ok).collect()
    } else {
        args.names
            .iter()
            .map(|name| paths.open(name))
            .collect::<Result<Vec<_>, _>>()?
    };
    let mut entries = Vec::new();
    for sandbox in &sandboxes {
        let log = sandbox.network_log();
        // What was before the last rotation, then what came since.
        entries.extend(events(&log.with_extension("1"))?);
        entries.extend(events(&log)?);
    }
    entries.sort_by_key(|event| event.timestamp);
    let last = match args.limit {
        0 => 0,
        limit => entries.len().saturating_sub(limit),
    };
    let shown = entries.get(last..).unwrap_or_default();
    if args.json {
        report::print_json(&Entries { entries: shown })?;
    } else {
        for event in shown {
            report::print(event)?;
        }
        if shown.is_empty() && !args.quiet {
            report::say("nothing has been asked for yet");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The requests in a log; none if there is no log yet. A line that is no event is told and skipped.
fn events(log: &Path) -> Result<Vec<Event>, Failure> {
    let file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Failure::doing(
                format!("cannot read `{}`", log.display()),
                &error,
            ));
        }
    };
    let mut events = Vec::new();
    for event in audit::read(BufReader::new(file)) {
        match event {
            Ok(event) if event.kind == Kind::Request => events.push(event),
            Ok(_) => {}
            Err(error @ ReadError::Line { .. }) => {
                report::say(Failure::doing(format!("`{}`", log.display()), &error))
            }
            Err(ReadError::Io(error)) => {
                return Err(Failure::doing(
                    format!("cannot read `{}`", log.display()),
                    &error,
                ));
            }
        }
    }
    Ok(events)
}
