//! `sandbox ls`

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use tabwriter::TabWriter;

use crate::args::LsArgs;
use crate::report::{self, Failure, Outcome};
use crate::state::{Paths, Sandbox};

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
    let mut table = TabWriter::new(Vec::new()).minwidth(0).padding(3);
    let mut text = String::from("VM ID\tNAME\tSTATUS\tWORKSPACE\tSOCKET PATH\tSANDBOXES\tAGENTS\n");
    for (row, sandbox) in rows(paths, sandboxes)?.iter().zip(sandboxes) {
        let workspace = row.workspaces.first().map_or("-", String::as_str);
        let socket = row.socket_path.as_deref().unwrap_or("-");
        let id = &sandbox.record.id;
        text.push_str(&format!(
            "{id}\t{}\t{}\t{workspace}\t{socket}\t{}\t{}\n",
            row.name, row.status, row.sandbox_count, row.agent
        ));
    }
    let filled = table
        .write_all(text.as_bytes())
        .and_then(|()| table.flush())
        .map_err(|error| Failure::doing("cannot lay out the table", &error));
    filled?;
    let bytes = table
        .into_inner()
        .map_err(|_| Failure::new("cannot lay out the table"))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(lines.join("\n"))
}
