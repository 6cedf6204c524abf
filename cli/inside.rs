//! Running a command inside, with the caller's terminal.

use std::process::ExitCode;

use vmshim::attach::{self, AttachError, DetachKeys};
use vmshim::client::Client;
use wire::exec::ExecErrorKind;
use wire::message::Exec;

use crate::lifecycle::block_on;
use crate::report::{self, EXEC_FAILED, Failure, Outcome};
use crate::state::Sandbox;

/// A command to run inside.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// `name|uid[:group|gid]`; the agent if not given.
    pub(crate) user: Option<String>,
    pub(crate) workdir: Option<String>,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
    pub(crate) detach: bool,
    /// What to press at the terminal to leave the command running.
    pub(crate) detach_keys: Option<DetachKeys>,
    /// Whether the command is the sandbox's agent.
    pub(crate) is_agent: bool,
}

impl Job {
    /// An agent at work in the primary workspace, at the caller's terminal if there is one.
    pub(crate) fn agent(
        sandbox: &Sandbox,
        command: Vec<String>,
        env: Vec<(String, String)>,
        detach_keys: Option<DetachKeys>,
    ) -> Self {
        Self {
            command,
            env,
            user: None,
            workdir: workdir(sandbox),
            stdin: true,
            tty: attach::stdin_is_tty(),
            detach: false,
            detach_keys,
            is_agent: true,
        }
    }
}

/// Where commands start unless told otherwise.
pub(crate) fn workdir(sandbox: &Sandbox) -> Option<String> {
    let folder = sandbox.primary_workspace()?;
    Some(folder.to_string_lossy().into_owned())
}

/// Runs the command; its exit code is ours.
pub(crate) fn run(client: &Client, job: Job) -> Outcome {
    if job.tty && !attach::stdin_is_tty() {
        return Err(Failure::new("the input is not a terminal")
            .help("leave out -t, or run this at a terminal")
            .code(EXEC_FAILED));
    }
    let tty = job.tty.then(attach::local_tty).transpose();
    let exec = Exec {
        argv: job.command,
        env: job.env,
        cwd: job.workdir,
        user: job.user,
        tty: tty.map_err(|error| Failure::doing("cannot read the terminal's size", &error))?,
        stdin: job.stdin,
        detach: job.detach,
    };
    block_on(async {
        let known = notes(client).await.len();
        let outcome = converse(client, exec, job.detach_keys, job.is_agent).await;
        // What came meanwhile would have spoilt the screen.
        let came = notes(client).await.into_iter().skip(known);
        came.for_each(report::say);
        outcome
    })
    .map_err(|failure| failure.code_unless_set(EXEC_FAILED))
}

/// What the sandbox has to say to people; nothing if it is gone.
async fn notes(client: &Client) -> Vec<String> {
    let status = client.status().await;
    status.map(|status| status.notes).unwrap_or_default()
}

async fn converse(
    client: &Client,
    exec: Exec,
    keys: Option<DetachKeys>,
    is_agent: bool,
) -> Outcome {
    let stream = client
        .exec(&exec)
        .await
        .map_err(|error| Failure::of(&error))?;
    match attach::attach(stream, &exec, keys).await {
        Ok(exit) => Ok(ExitCode::from(exit.shell_code())),
        Err(error @ AttachError::Detached) => {
            report::say(format_args!("detached: {error}"));
            Ok(ExitCode::SUCCESS)
        }
        Err(AttachError::Exec(error)) if is_agent && error.kind == ExecErrorKind::NotFound => {
            let agent = exec.argv.first().map_or("", String::as_str);
            Err(Failure::new(format!(
                "agent binary \"{agent}\" not found in sandbox: verify this is the correct sandbox type"
            ))
            .code(error.kind.exit_code()))
        }
        Err(AttachError::Exec(error)) => Err(Failure::of(&error).code(error.kind.exit_code())),
        Err(error) => Err(Failure::of(&error)),
    }
}
