//! `sandbox run`

use std::process::ExitCode;

use crate::agent::Agent;
use crate::args::{RunArgs, SandboxOptions};
use crate::create::{self, Wanted};
use crate::environment;
use crate::inside::{self, Job};
use crate::lifecycle;
use crate::name::SandboxName;
use crate::progress::Progress;
use crate::report::{self, Failure, Outcome, USAGE};
use crate::state::{Paths, Sandbox};
use crate::template::Template;
use crate::warnings;
use crate::workspace::Workspace;

pub(super) fn run(mut args: RunArgs) -> Outcome {
    let paths = Paths::from_env()?;
    let progress = Progress::told(!args.quiet);
    args.workspaces.splice(0..0, args.workspace.take());
    // What is given again for a sandbox that has it is no harm; what is new holds for this run.
    let env = environment::collect(&args.options.env, &args.options.env_file)?;
    let (agent_args, detached) = (std::mem::take(&mut args.agent_args), args.detached);
    let keys = args.detach_keys.take();
    let sandbox = find_or_create(&paths, args, &progress)?;
    let client = lifecycle::ensure_running(&paths, &sandbox, &progress)?;
    drop(progress);
    if detached {
        report::print(&sandbox.record.name)?;
        return Ok(ExitCode::SUCCESS);
    }
    let agent = Agent::find(&sandbox.record.agent)?;
    let job = Job::agent(&sandbox, agent.command(&agent_args), env, keys);
    inside::run(&client, job)
}

/// A sandbox by its name; or the one that agent and folder name, made if it is not there yet.
fn find_or_create(paths: &Paths, args: RunArgs, progress: &Progress) -> Result<Sandbox, Failure> {
    if !Agent::is_reserved(&args.subject) {
        let sandbox = existing(paths, &args)?;
        return adapted(paths, sandbox, &[], &args.options);
    }
    let wanted = Wanted {
        agent: Agent::find(&args.subject)?,
        workspaces: args.workspaces,
        options: args.options,
    };
    let found = match made_for(paths, &wanted)? {
        Some(sandbox) => sandbox,
        None => match create::create(paths, &wanted, progress) {
            Ok(sandbox) => return Ok(sandbox),
            // Somebody else made it at the same moment: that is as good.
            Err(failure) => made_for(paths, &wanted)?.ok_or(failure)?,
        },
    };
    adapted(paths, found, &wanted.folders()?, &wanted.options)
}

/// The sandbox that is there for this agent and these folders. One of the same name for another folder is none:
/// `create` says so.
fn made_for(paths: &Paths, wanted: &Wanted) -> Result<Option<Sandbox>, Failure> {
    let folders = wanted.folders()?;
    let name = wanted.name(&folders)?;
    let Some(sandbox) = paths.find(&name)? else {
        return Ok(None);
    };
    if !same_folders(&sandbox, &folders) {
        return Ok(None);
    }
    if sandbox.record.agent != wanted.agent.name {
        return Err(Failure::new(format!(
            "sandbox `{name}` was made for agent `{}`",
            sandbox.record.agent
        ))
        .help("choose another name with --name"));
    }
    Ok(Some(sandbox))
}

/// Whether a sandbox is for these folders. Whether they can be written is the sandbox's to say.
fn same_folders(sandbox: &Sandbox, folders: &[Workspace]) -> bool {
    let theirs = sandbox.record.workspaces.iter().map(|folder| &folder.path);
    theirs.eq(folders.iter().map(|folder| &folder.path))
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
                .help(format!(
                    "agents: {}; sandboxes are listed by `sandbox ls`",
                    Agent::names()
                ))
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

/// The sandbox with those of the flags that can change. The caller hears of the others, and nothing starts without one
/// that would keep something from the agent.
fn adapted(
    paths: &Paths,
    mut sandbox: Sandbox,
    folders: &[Workspace],
    options: &SandboxOptions,
) -> Result<Sandbox, Failure> {
    let name = sandbox.record.name.clone();
    let mut kept = sandbox.record.settings.kept(options)?;
    if options.template.template.is_some() {
        let asked = Template::choose("", &options.template)?.name();
        if asked != sandbox.record.template {
            kept.tell("--template", false);
        }
    }
    let theirs = &sandbox.record.workspaces;
    if options.read_only && theirs.first().is_some_and(|folder| !folder.read_only) {
        kept.tell("--read-only", true);
    } else if (folders.iter().zip(theirs)).any(|(asked, its)| asked.read_only && !its.read_only) {
        kept.tell(":ro", true);
    }
    let help = format!("`sandbox rm {name}` first, or make another one with --name");
    if !kept.tighter.is_empty() {
        let flags = kept.tighter.join(", ");
        return Err(Failure::new(format!(
            "sandbox `{name}` was made without this {flags} and cannot be changed"
        ))
        .help(help)
        .code(USAGE));
    }
    if !kept.other.is_empty() {
        let flags = kept.other.join(", ");
        report::say(format_args!(
            "warning: `{name}` keeps what it was made with: {flags} changes nothing\nhelp: {help}"
        ));
    }
    warnings::workspaces(&sandbox.record.workspaces);
    if sandbox.record.settings.adapt(options) {
        paths.rewrite(&sandbox)?;
        if sandbox.is_running() {
            report::say(format_args!(
                "`{name}` is running; memory, processors and ports change with its next start"
            ));
        }
    }
    Ok(sandbox)
}
