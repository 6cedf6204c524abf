//! `sandbox template …`

use std::process::ExitCode;

use serde::Serialize;
use vmshim::cache::Cache;
use vmshim::image::inventory::{self, Entry, Source};
use vmshim::spec::Isolation;

use crate::args::TemplateRmArgs;
use crate::args::{TemplateBuildArgs, TemplateCommand, TemplateLsArgs, TemplateOptions};
use crate::lifecycle;
use crate::progress::Progress;
use crate::report::{self, Failure, Outcome};
use crate::state::{Paths, Sandbox};
use crate::table;
use crate::template::Template;

/// The template that sandboxes have unless another is asked for.
const DEFAULT: &str = "shell";

pub(super) fn run(command: TemplateCommand) -> Outcome {
    match command {
        TemplateCommand::Build(args) => build(args),
        TemplateCommand::Ls(args) => ls(&args),
        TemplateCommand::Rm(args) => rm(&args),
        TemplateCommand::Save(args) => super::save::run(&args),
    }
}

fn build(args: TemplateBuildArgs) -> Outcome {
    let own = args.name.as_deref().unwrap_or(DEFAULT);
    prepare(own, &args.options)
}

/// Fetches or makes what sandboxes of a template need, and prints where it is.
pub(super) fn prepare(own: &str, options: &TemplateOptions) -> Outcome {
    let paths = Paths::from_env()?;
    let template = Template::choose(own, options)?;
    let progress = Progress::new();
    let made = lifecycle::prepare(&paths, &template, Isolation::MicroVm, &progress)?;
    drop(progress);
    report::print(made.root.display())?;
    Ok(ExitCode::SUCCESS)
}

/// A template as it is listed.
#[derive(Serialize)]
struct Row {
    name: String,
    source: &'static str,
    size_bytes: u64,
    created_at: String,
    /// Sandboxes that are made of it.
    sandboxes: Vec<String>,
}

fn ls(args: &TemplateLsArgs) -> Outcome {
    let paths = Paths::from_env()?;
    let sandboxes: Vec<Sandbox> = paths.all()?.into_iter().filter_map(Result::ok).collect();
    let entries = inventory::list(&Cache::new(paths.cache()));
    let rows: Vec<Row> = entries
        .iter()
        .flat_map(|entry| rows(entry, &sandboxes))
        .collect();
    if args.quiet {
        for row in &rows {
            report::print(&row.name)?;
        }
    } else if args.json {
        report::print_json(&serde_json::json!({ "templates": rows }))?;
    } else {
        let cells = rows.iter().map(|row| {
            let size = format!("{} MB", row.size_bytes.div_ceil(1_000_000));
            let used = row.sandboxes.len().to_string();
            let created = row.created_at.split('T').next().unwrap_or_default();
            vec![
                row.name.clone(),
                row.source.into(),
                size,
                created.into(),
                used,
            ]
        });
        let head = ["TEMPLATE", "SOURCE", "SIZE", "CREATED", "SANDBOXES"];
        report::print(table::layout(&head, cells)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(entry: &Entry, sandboxes: &[Sandbox]) -> Vec<Row> {
    let users = users(entry, sandboxes);
    let made = jiff::Timestamp::try_from(entry.made).unwrap_or_default();
    let row = |name: &String| Row {
        name: name.clone(),
        source: match entry.source {
            Source::Recipe => "recipe",
            Source::Image => "image",
        },
        size_bytes: entry.bytes,
        created_at: made.to_string(),
        sandboxes: users.clone(),
    };
    entry.names.iter().map(row).collect()
}

fn users(entry: &Entry, sandboxes: &[Sandbox]) -> Vec<String> {
    let made_of = sandboxes
        .iter()
        .filter(|sandbox| entry.has(&sandbox.record.image));
    made_of
        .map(|sandbox| sandbox.record.name.to_string())
        .collect()
}

/// Checks all of them, then removes.
fn rm(args: &TemplateRmArgs) -> Outcome {
    let paths = Paths::from_env()?;
    let cache = Cache::new(paths.cache());
    let sandboxes: Vec<Sandbox> = paths.all()?.into_iter().filter_map(Result::ok).collect();
    let entries = inventory::list(&cache);
    let mut doomed: Vec<&Entry> = Vec::new();
    for name in &args.names {
        let full = Template::full_name(name);
        let mut found = entries
            .iter()
            .filter(|entry| {
                entry
                    .names
                    .iter()
                    .any(|known| known == name || *known == full)
            })
            .peekable();
        if found.peek().is_none() {
            return Err(
                Failure::new(format!("there is no template `{name}` on this machine"))
                    .help("list them with `sandbox template ls`"),
            );
        }
        for entry in found {
            let users = users(entry, &sandboxes);
            if !users.is_empty() {
                return Err(Failure::new(format!(
                    "template `{name}` is what sandboxes are made of: {}",
                    users.join(", ")
                ))
                .help("remove those first, with `sandbox rm`"));
            }
            if !doomed.contains(&entry) {
                doomed.push(entry);
            }
        }
    }
    for entry in doomed {
        inventory::remove(&cache, entry).map_err(|error| {
            let help = error.help();
            Failure::of(&error).maybe_help(help)
        })?;
        for name in &entry.names {
            report::print(name)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
