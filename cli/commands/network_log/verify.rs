//! Whether the chain of a log holds.
//!
//! It tells whether a line was changed, removed or put in between two others. Whoever can write the file can also write
//! all of it anew, or cut it short; the chain's end, which is told for that, then is another than the one kept elsewhere.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Seek as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use proxy::audit::{self, Event, Verifier};

use super::rotated;
use crate::args::NetworkLogArgs;
use crate::report::{self, FAILED, Failure, Outcome};

/// Says of each log in one sentence whether it holds.
pub(super) fn run(args: &NetworkLogArgs, logs: &[PathBuf]) -> Outcome {
    if let Some(file) = args.file.as_ref().filter(|file| !file.exists()) {
        return Err(Failure::new(format!(
            "there is no log `{}`",
            file.display()
        )));
    }
    let mut code = ExitCode::SUCCESS;
    for log in logs {
        let finding = verify(log)?;
        if matches!(finding, Finding::Broken { .. }) {
            code = ExitCode::from(FAILED);
        }
        report::print(format_args!("`{}`: {finding}", log.display()))?;
    }
    Ok(code)
}

enum Finding {
    Empty,
    Whole {
        lines: usize,
        first: Box<Event>,
        last: Box<Event>,
    },
    Broken {
        file: PathBuf,
        line: usize,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no line yet"),
            Self::Whole { lines, first, last } => {
                let at = |event: &Event| event.timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                let chain = last.chain.as_deref().unwrap_or_default();
                let (from, to) = (at(first), at(last));
                write!(
                    f,
                    "the chain holds over {lines} lines from {from} to {to}, and ends in {chain}"
                )
            }
            Self::Broken { file, line } => write!(
                f,
                "the chain is broken: line {line} of `{}` does not follow from the one before it",
                file.display()
            ),
        }
    }
}

fn verify(log: &Path) -> Result<Finding, Failure> {
    let mut verifier = Verifier::default();
    let (mut lines, mut ends) = (0, None);
    for file in rotated(log) {
        let cannot = |error| Failure::doing(format!("cannot read `{}`", file.display()), &error);
        let open = match File::open(&file) {
            Ok(open) => open,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(cannot(error)),
        };
        match verifier.read(BufReader::new(&open)).map_err(cannot)? {
            Ok(count) => lines += count,
            Err(line) => return Ok(Finding::Broken { file, line }),
        }
        (&open).rewind().map_err(cannot)?;
        extend(&mut ends, &open);
    }
    Ok(match ends {
        None => Finding::Empty,
        Some((first, last)) => Finding::Whole { lines, first, last },
    })
}

/// The first and the last event so far.
type Ends = Option<(Box<Event>, Box<Event>)>;

fn extend(ends: &mut Ends, file: &File) {
    for event in audit::read(BufReader::new(file)).filter_map(Result::ok) {
        match ends {
            None => *ends = Some((Box::new(event.clone()), Box::new(event))),
            Some((_, last)) => **last = event,
        }
    }
}
