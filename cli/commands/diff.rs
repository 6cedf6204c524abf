//! `sandbox diff`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use crate::args::DiffArgs;
use crate::report::{self, Failure, Outcome};
use crate::risk::{self, Risk};
use crate::snapshot::{self, Change, Changed, Snapshot};
use crate::state::{self, Paths, Sandbox};
use crate::table;

/// One line of the answer.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Row {
    path: String,
    change: Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<Risk>,
    /// Files of a folder that is new or gone as a whole, and told in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<usize>,
}

pub(super) fn run(args: &DiffArgs) -> Outcome {
    let paths = Paths::from_env()?;
    let sandbox = paths.open(&args.sandbox)?;
    let roots = sandbox.writable_folders();
    let after = Snapshot::take(&roots).map_err(|error| Failure::doing("cannot compare", &error))?;
    if args.accept {
        state::replace(&sandbox.snapshot(), &after.to_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let before = before(&sandbox)?;
    let changes = snapshot::compare(&before, &after);
    let rows = rows(&changes, &roots);
    if args.json {
        report::print_json(&serde_json::json!({ "changes": rows }))?;
    } else {
        tell(&rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn before(sandbox: &Sandbox) -> Result<Snapshot, Failure> {
    let path = sandbox.snapshot();
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::doing("there is nothing to compare with", &error).help(format!(
            "take the folders as they are now with `sandbox diff --accept {}`",
            sandbox.record.name
        ))
    })?;
    Snapshot::from_bytes(&bytes)
        .ok_or_else(|| Failure::new(format!("`{}` is damaged", path.display())))
}

/// What the host may run comes first, each file of it; other files of a folder that is new or gone as a whole are
/// counted.
fn rows(changes: &[Changed<'_>], roots: &[PathBuf]) -> Vec<Row> {
    let mut risky = Vec::new();
    let mut plain = Vec::new();
    let mut whole: BTreeMap<&Path, (Change, usize)> = BTreeMap::new();
    for (path, change, stamp) in changes {
        let shown = relative(path, roots);
        let risk = risk::of(shown, stamp.mode).filter(|_| !stamp.is_folder());
        if let Some(risk) = risk {
            risky.push((risk, row(shown, *change, Some(risk))));
            continue;
        }
        let top = path
            .ancestors()
            .skip(1)
            .find(|above| whole.get(above).is_some_and(|(known, _)| known == change));
        if let Some((_, count)) = top.and_then(|top| whole.get_mut(top)) {
            *count += usize::from(!stamp.is_folder());
        } else if stamp.is_folder() && *change != Change::Modified {
            whole.insert(path, (*change, 0));
        } else {
            plain.push(row(shown, *change, None));
        }
    }
    risky.sort_by_key(|(risk, _)| *risk);
    let folders = whole.into_iter().map(|(path, (change, files))| Row {
        path: format!("{}/", relative(path, roots).display()),
        files: Some(files),
        ..row(Path::new(""), change, None)
    });
    plain.extend(folders);
    plain.sort_by(|a, b| a.path.cmp(&b.path));
    risky.into_iter().map(|(_, row)| row).chain(plain).collect()
}

fn row(path: &Path, change: Change, runs: Option<Risk>) -> Row {
    Row {
        path: path.display().to_string(),
        change,
        runs,
        files: None,
    }
}

/// Paths of the primary folder are relative to it, others absolute.
fn relative<'a>(path: &'a Path, roots: &[PathBuf]) -> &'a Path {
    let primary = roots.first().and_then(|root| path.strip_prefix(root).ok());
    primary.unwrap_or(path)
}

fn tell(rows: &[Row]) -> Result<(), Failure> {
    let letter = |change| match change {
        Change::Added => 'A',
        Change::Modified => 'M',
        Change::Deleted => 'D',
    };
    let mut last = None;
    for row in rows {
        if last != Some(row.runs) {
            last = Some(row.runs);
            match row.runs {
                Some(risk) => report::say(format_args!("{}:", risk.reason())),
                None => report::say("other files:"),
            }
        }
        let path = table::one_line(&row.path);
        match row.files {
            Some(files) => report::print(format_args!(
                "{} {path} ({files} files)",
                letter(row.change)
            ))?,
            None => report::print(format_args!("{} {path}", letter(row.change)))?,
        }
    }
    if rows.is_empty() {
        report::say("nothing has changed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_folders_are_one_line_and_hooks_come_first() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let at = |name: &str| root.join(name);
        std::fs::write(at("old"), "").unwrap();
        let roots = [root.clone()];
        let before = Snapshot::take(&roots).unwrap();
        std::fs::create_dir_all(at("target/debug")).unwrap();
        for name in ["a.txt", "target/x", "target/debug/y", "target/Makefile"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::fs::create_dir_all(at(".git/hooks")).unwrap();
        std::fs::write(at(".git/hooks/pre-commit"), "").unwrap();
        std::fs::remove_file(at("old")).unwrap();
        let after = Snapshot::take(&roots).unwrap();
        let changes = snapshot::compare(&before, &after);
        let told: Vec<String> = rows(&changes, &roots)
            .iter()
            .map(|row| {
                format!(
                    "{:?} {} {:?} {:?}",
                    row.change, row.path, row.runs, row.files
                )
            })
            .collect();
        let wanted = [
            "Added .git/hooks/pre-commit Some(Git) None",
            "Added target/Makefile Some(Build) None",
            "Added .git/ None Some(0)",
            "Added a.txt None None",
            "Deleted old None None",
            "Added target/ None Some(2)",
        ];
        assert_eq!(told, wanted);
    }
}
