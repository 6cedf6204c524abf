//! `sandbox run`

use std::process::ExitCode;

use crate::agent::Agent;
use crate::args::RunArgs;
use crate::create::{self, Wanted};
use crate::inside::{self, Job};
use crate::lifecycle;
use crate::name::SandboxName;
use crate::progress::Progress;
use crate::report::{self, Failure, Outcome, USAGE};
use crate::state::{Paths, Sandbox};

pub(super) fn run(args: RunArgs) -> Outcome {
    let paths = Paths::from_env()?;
    let progress = Progress::new();
    let (agent_args, detached) = (args.agent_args.clone(), args.detached);
    let sandbox = find_or_create(&paths, args, &progress)?;
    let client = lifecycle::ensure_running(&paths, &sandbox, &progress)?;
    drop(progress);
    if detached {
        report::print(&sandbox.record.name)?;
        return Ok(ExitCode::SUCCESS);
    }
    let agent = Agent::find(&sandbox.record.agent)?;
    inside::run(&client, Job::agent(&sandbox, agent.command(&agent_args)))
}

/// A sandbox by its name; or the one that agent and folder name, made if it is not there yet.
fn find_or_create(paths: &Paths, args: RunArgs, progress: &Progress) -> Result<Sandbox, Failure> {
    if !Agent::is_reserved(&args.subject) {
        return existing(paths, &args);
    }
    let wanted = Wanted {
        agent: Agent::find(&args.subject)?,
        workspaces: args.workspaces,
        options: args.options,
    };
    let folders = wanted.folders()?;
    let name = wanted.name(&folders)?;
    match paths.find(&name)? {
        Some(sandbox) if sandbox.record.workspaces == folders => {
            if sandbox.record.agent == wanted.agent.name {
                return Ok(sandbox);
            }
            Err(Failure::new(format!(
                "sandbox `{name}` was made for agent `{}`",
                sandbox.record.agent
            ))
            .help("choose another name with --name"))
        }
        // Also where the sandbox is for another folder: `create` says so.
        _ => create::create(paths, wanted, progress),
    }
}

fn existing(paths: &Paths, args: &RunArgs) -> Result<Sandbox, Failure> {
    let subject = &args.subject;
    let found = match subject.parse::<SandboxName>() {
        Ok(name) => paths.find(&name)?,
        Err(_) => None,
    };
    let Some(sandbox) = found else {
        return Err(
            Failure::new(format!("`{subject}` is neither an agent nor a sandbox"))
                .help("agents: shell; sandboxes are listed by `sandbox ls`")
                .code(USAGE),
        );
    };
    if !args.workspaces.is_empty() {
        return Err(Failure::new(format!(
            "sandbox `{subject}` has its folders already"
        ))
        .help("folders are fixed when a sandbox is made; leave them out, or make another sandbox")
        .code(USAGE));
    }
    Ok(sandbox)
}
