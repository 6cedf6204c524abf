//! `sandbox network log`

mod filter;
mod follow;
mod har;
mod totals;
mod verify;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use proxy::audit::{self, Action, Event, Kind, ReadError};
use serde::Serialize;

use crate::args::NetworkLogArgs;
use crate::report::{self, Failure, Outcome};
use crate::state::Paths;

use filter::Filter;

/// Rotated logs that are looked for: the proxy keeps fewer.
const ROTATED: u32 = 99;

#[derive(Serialize)]
struct Entries<'a> {
    entries: &'a [Event],
}

pub(super) fn run(args: &NetworkLogArgs) -> Outcome {
    let filter = Filter::new(args)?;
    let logs = logs(args)?;
    if args.verify {
        return verify::run(args, &logs);
    }
    // Opened before anything is read, so that no line falls between the two.
    let mut tails = args.follow.then(|| follow::Tails::at_end(&logs));
    let mut entries = Vec::new();
    for log in &logs {
        for file in rotated(log) {
            entries.extend(
                events(&file)?
                    .into_iter()
                    .filter(|event| is_asked_for(args, event) && filter.lets(event)),
            );
        }
    }
    entries.sort_by_key(|event| event.timestamp);
    let last = match args.limit {
        0 => 0,
        limit => entries.len().saturating_sub(limit),
    };
    show(args, entries.get(last..).unwrap_or_default())?;
    if let Some(tails) = &mut tails {
        tails.each(
            |event| match is_asked_for(args, &event) && filter.lets(&event) {
                true if args.json => report::print_line_json(&event),
                true => report::print(&event),
                false => Ok(()),
            },
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &NetworkLogArgs, shown: &[Event]) -> Result<(), Failure> {
    if args.har {
        return report::print_json(&har::of(shown));
    }
    if args.summary {
        let totals = totals::Totals::of(shown);
        return match args.json {
            true => report::print_json(&totals),
            false => report::print(totals.to_string().trim_end()),
        };
    }
    if args.json && !args.follow {
        return report::print_json(&Entries { entries: shown });
    }
    for event in shown {
        match args.json {
            true => report::print_line_json(event)?,
            false => report::print(event)?,
        }
    }
    if shown.is_empty() && !args.quiet && !args.follow {
        report::say("nothing that matches has been asked for yet");
    }
    Ok(())
}

/// The logs that are asked about.
fn logs(args: &NetworkLogArgs) -> Result<Vec<PathBuf>, Failure> {
    if let Some(file) = &args.file {
        return Ok(vec![file.clone()]);
    }
    let paths = Paths::from_env()?;
    let sandboxes = if args.names.is_empty() {
        paths.all()?.into_iter().filter_map(Result::ok).collect()
    } else {
        let opened = args.names.iter().map(|name| paths.open(name));
        opened.collect::<Result<Vec<_>, _>>()?
    };
    Ok(sandboxes
        .iter()
        .map(|sandbox| sandbox.network_log())
        .collect())
}

/// The files that a log was rotated into, oldest first, and the log itself.
fn rotated(log: &Path) -> Vec<PathBuf> {
    let numbered = (1..=ROTATED).map(|number| log.with_extension(number.to_string()));
    let mut files: Vec<_> = numbered.take_while(|file| file.exists()).collect();
    files.reverse();
    files.push(log.to_owned());
    files
}

/// Requests and tunnels; and for people, a policy that was not taken. Programs ask what was asked for alone.
fn is_asked_for(args: &NetworkLogArgs, event: &Event) -> bool {
    let is_for_people = !(args.json || args.har || args.summary);
    event.kind != Kind::Config || is_for_people && event.action == Action::Denied
}

/// The events in a log; none if there is no log yet. A line that is no event is told and skipped.
fn events(log: &Path) -> Result<Vec<Event>, Failure> {
    let cannot =
        |error: &io::Error| Failure::doing(format!("cannot read `{}`", log.display()), error);
    let file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot(&error)),
    };
    let mut events = Vec::new();
    for event in audit::read(BufReader::new(file)) {
        match event {
            Ok(event) => events.push(event),
            Err(error @ ReadError::Line { .. }) => {
                report::say(Failure::doing(format!("`{}`", log.display()), &error))
            }
            Err(ReadError::Io(error)) => return Err(cannot(&error)),
        }
    }
    Ok(events)
}
