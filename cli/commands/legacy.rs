//! `sandbox legacy …`

use std::process::ExitCode;

use crate::agent::Agent;
use crate::args::{LegacyCommand, LegacyLsArgs, LegacyNamesArgs, LegacyRmArgs, PullTemplate};
use crate::args::{SandboxOptions, TemplateOptions};
use crate::create::{self, Wanted};
use crate::legacy::{Container, Found, VOLUME, docker};
use crate::progress::Progress;
use crate::report::{self, Failure, Outcome, USAGE};
use crate::state::Paths;
use crate::table;

pub(super) fn run(command: LegacyCommand) -> Outcome {
    match command {
        LegacyCommand::Ls(args) => ls(&args),
        LegacyCommand::Migrate(args) => migrate(&args),
        LegacyCommand::Rm(args) => rm(&args),
    }
}

fn ls(args: &LegacyLsArgs) -> Outcome {
    let found = Found::look()?;
    if args.json {
        report::print_json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Docker's columns of that generation.
    let head = ["SANDBOX ID", "TEMPLATE", "NAME", "WORKSPACE", "STATUS"];
    let rows = found.containers.iter().map(|container| {
        let workspace = container.workspace.clone().unwrap_or_else(|| "-".into());
        let Container {
            id,
            name,
            image,
            status,
            ..
        } = container.clone();
        vec![id, image, name, workspace, status]
    });
    report::print(table::layout(&head, rows)?)?;
    if found.volume {
        report::say(format_args!(
            "the volume `{VOLUME}` is there; remove it with `sandbox legacy rm --volume`"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// What was installed in the container becomes a template, and a sandbox is made of it around the same folder.
fn migrate(args: &LegacyNamesArgs) -> Outcome {
    let found = Found::look()?;
    let paths = Paths::from_env()?;
    let containers = args.names.iter().map(|name| found.find(name));
    for container in containers.collect::<Result<Vec<_>, _>>()? {
        let folder = container.workspace.as_ref().ok_or_else(|| {
            Failure::new(format!(
                "`{}` does not say which folder it was for",
                container.name
            ))
            .help("make a sandbox around the folder with `sandbox create`")
        })?;
        let image = format!("sandbox-legacy/{}:migrated", container.id);
        docker(&[
            "commit",
            "--message",
            "moved to sandbox",
            &container.id,
            &image,
        ])?;
        let progress = Progress::new();
        let wanted = Wanted {
            agent: Agent::find(&container.agent)?,
            workspaces: vec![folder.parse().unwrap_or_else(|error| match error {})],
            options: SandboxOptions {
                template: TemplateOptions {
                    template: Some(image.clone()),
                    pull_template: PullTemplate::Never,
                    load_local_template: true,
                },
                ..SandboxOptions::default()
            },
        };
        let made = create::create(&paths, &wanted, &progress);
        drop(progress);
        // The template is in our cache; Docker's copy was only the way there.
        let cleaned = docker(&["image", "rm", &image]);
        let sandbox = made?;
        cleaned?;
        report::print(&sandbox.record.name)?;
        report::say(format_args!(
            "`{}` is now sandbox `{}`; the container stays until `sandbox legacy rm {}`",
            container.name, sandbox.record.name, container.id
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn rm(args: &LegacyRmArgs) -> Outcome {
    if args.names.is_empty() && !args.all && !args.volume {
        return Err(Failure::new("nothing was named")
            .help("name containers of `sandbox legacy ls`, or give --all or --volume")
            .code(USAGE));
    }
    let found = Found::look()?;
    let doomed: Vec<&Container> = if args.all {
        found.containers.iter().collect()
    } else {
        let named = args.names.iter().map(|name| found.find(name));
        named.collect::<Result<_, _>>()?
    };
    for container in doomed {
        docker(&["rm", "--force", &container.id])?;
        report::print(&container.name)?;
    }
    if args.volume && found.volume {
        docker(&["volume", "rm", VOLUME])?;
        report::print(VOLUME)?;
    }
    Ok(ExitCode::SUCCESS)
}
