//! `sandbox exec`

use std::process::ExitCode;

use crate::args::ExecArgs;
use crate::environment;
use crate::inside::{self, Job};
use crate::lifecycle;
use crate::progress::Progress;
use crate::report::{EXEC_FAILED, Failure, Outcome};
use crate::state::Paths;

pub(super) fn run(args: ExecArgs) -> Outcome {
    exec(args).map_err(|failure| failure.code_unless_set(EXEC_FAILED))
}

fn exec(args: ExecArgs) -> Result<ExitCode, Failure> {
    let env = environment::collect(&args.env, &args.env_file)?;
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
            user: args
                .user
                .or_else(|| args.privileged.then(|| "root".to_owned())),
            workdir,
            stdin: args.interactive,
            tty: args.tty,
            detach: args.detach,
            detach_keys: Some(args.detach_keys.unwrap_or_default()),
            is_agent: false,
        },
    )
}
