//! `sandbox exec`

use std::process::ExitCode;

use crate::args::ExecArgs;
use crate::inside::{self, Job};
use crate::lifecycle;
use crate::progress::Progress;
use crate::report::{EXEC_FAILED, Failure, Outcome, USAGE};
use crate::state::Paths;

pub(super) fn run(args: ExecArgs) -> Outcome {
    exec(args).map_err(|failure| failure.code_unless_set(EXEC_FAILED))
}

fn exec(args: ExecArgs) -> Result<ExitCode, Failure> {
    let env = args
        .env
        .iter()
        .map(|pair| environment(pair))
        .collect::<Result<Vec<_>, _>>()?;
    let paths = Paths::from_env()?;
    let sandbox = paths.open(&args.sandbox)?;
    let progress = Progress::new();
    let client = lifecycle::ensure_running(&paths, &sandbox, &progress)?;
    drop(progress);
    let workdir = args
        .workdir
        .map(|dir| dir.to_string_lossy().into_owned())
        .or_else(|| inside::workdir(&sandbox));
    inside::run(
        &client,
        Job {
            command: args.command,
            env,
            user: args.user,
            workdir,
            stdin: args.interactive,
            tty: args.tty,
            detach: args.detach,
            is_agent: false,
        },
    )
}

/// `KEY=VALUE`, or `KEY` for the caller's own value; a variable the caller does not have is left out.
fn environment(pair: &str) -> Result<(String, String), Failure> {
    let (key, value) = match pair.split_once('=') {
        Some((key, value)) => (key, value.to_owned()),
        None => (pair, std::env::var(pair).unwrap_or_default()),
    };
    if key.is_empty() || key.contains('\0') {
        return Err(
            Failure::new(format!("`{pair}` names no environment variable"))
                .help("write -e KEY=VALUE, or -e KEY to pass on your own")
                .code(USAGE),
        );
    }
    Ok((key.to_owned(), value))
}
