//! `sandbox ls`

use std::process::ExitCode;

use serde::Serialize;

use crate::args::LsArgs;
use crate::report::{self, Failure, Outcome};
use crate::state::{Paths, Sandbox};
use crate::table;

/// Docker's shape of `ls --json`: what only a running sandbox has is left out of a stopped one.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    agent: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket_path: Option<String>,
    sandbox_count: u32,
    workspaces: Vec<String>,
}

#[derive(Serialize)]
struct Listing<'a> {
    vms: Vec<Row<'a>>,
}

pub(super) fn run(args: &LsArgs) -> Outcome {
    let paths = Paths::from_env()?;
    let mut sandboxes = Vec::new();
    for found in paths.all()? {
        match found {
            Ok(sandbox) => sandboxes.push(sandbox),
            Err(failure) => report::say(failure),
        }
    }
    if args.quiet {
        for sandbox in &sandboxes {
            report::print(&sandbox.record.name)?;
        }
    } else if args.json {
        let vms = rows(&paths, &sandboxes)?;
        report::print_json(&Listing { vms })?;
    } else {
        report::print(table(&paths, &sandboxes)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows<'a>(paths: &Paths, sandboxes: &'a [Sandbox]) -> Result<Vec<Row<'a>>, Failure> {
    sandboxes
        .iter()
        .map(|sandbox| {
            let running = sandbox.is_running();
            let runtime = paths.runtime(&sandbox.record.id)?;
            let shared = sandbox.record.workspaces.iter();
            Ok(Row {
                name: sandbox.record.name.as_str(),
                agent: &sandbox.record.agent,
                status: if running { "running" } else { "stopped" },
                socket_path: running.then(|| runtime.join("ctl").display().to_string()),
                sandbox_count: 1,
                workspaces: shared.map(|w| w.path.display().to_string()).collect(),
            })
        })
        .collect()
}

fn table(paths: &Paths, sandboxes: &[Sandbox]) -> Result<String, Failure> {
    let head = [
        "VM ID",
        "NAME",
        "STATUS",
        "WORKSPACE",
        "SOCKET PATH",
        "SANDBOXES",
        "AGENTS",
    ];
    let rows = rows(paths, sandboxes)?;
    let cells = rows.into_iter().zip(sandboxes).map(|(row, sandbox)| {
        let dash = || "-".to_owned();
        vec![
            sandbox.record.id.clone(),
            row.name.to_owned(),
            row.status.to_owned(),
            row.workspaces.into_iter().next().unwrap_or_else(dash),
            row.socket_path.unwrap_or_else(dash),
            row.sandbox_count.to_string(),
            row.agent.to_owned(),
        ]
    });
    table::layout(&head, cells)
}
