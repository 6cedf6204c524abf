//! Environment variables for a sandbox or a command, from the command line and from files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::report::{Failure, USAGE};

/// More is no list of variables.
const LARGEST_FILE: u64 = 1 << 20;

/// The variables of `files` in their order, then those of `flags`; of two of one name the later holds.
pub(crate) fn collect(
    flags: &[String],
    files: &[PathBuf],
) -> Result<Vec<(String, String)>, Failure> {
    let mut env = Vec::new();
    for file in files {
        for (number, line) in read(file)?.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = || format!("{}:{}", file.display(), number + 1);
            add(&mut env, line).map_err(|failure| failure.at(place()))?;
        }
    }
    for flag in flags {
        add(&mut env, flag)?;
    }
    Ok(env)
}

fn read(file: &Path) -> Result<String, Failure> {
    let cannot =
        |error: std::io::Error| Failure::doing(format!("cannot read `{}`", file.display()), &error);
    if fs::metadata(file).map_err(cannot)?.len() > LARGEST_FILE {
        return Err(Failure::new(format!(
            "`{}` is too large for a list of variables",
            file.display()
        )));
    }
    let text = fs::read_to_string(file).map_err(cannot)?;
    // Some editors begin UTF-8 with a mark, which is no part of a name.
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// `KEY=VALUE`, or `KEY` for the caller's own value. Like Docker, no quotes are taken off, and a
/// variable that the caller does not have is left out.
fn add(env: &mut Vec<(String, String)>, pair: &str) -> Result<(), Failure> {
    let (key, value) = match pair.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (pair, std::env::var(pair.trim_end()).ok()),
    };
    let key = key.trim_end();
    let is_bad = key.is_empty() || key.contains(|c: char| c.is_whitespace() || c == '\0');
    if is_bad || value.as_ref().is_some_and(|value| value.contains('\0')) {
        return Err(
            Failure::new(format!("`{pair}` names no environment variable"))
                .help("write KEY=VALUE, or KEY to pass on your own")
                .code(USAGE),
        );
    }
    env.retain(|(known, _)| known != key);
    env.extend(value.map(|value| (key.to_owned(), value)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_first_and_the_last_of_a_name_holds() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dev.env");
        fs::write(
            &file,
            "\u{feff}# a comment\n\nA=1\n  B=two words \nQ=\"kept\"\nNOT_SET_ANYWHERE\nHOME\n",
        )
        .unwrap();
        let flags = [
            "A=2".to_owned(),
            "URL=http://x?a=b".to_owned(),
            "E=".to_owned(),
        ];
        let env = collect(&flags, &[file]).unwrap();
        let env: Vec<String> = env
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let home = format!("HOME={}", std::env::var("HOME").unwrap());
        let wanted = [
            "B=two words ",
            "Q=\"kept\"",
            &home,
            "A=2",
            "URL=http://x?a=b",
            "E=",
        ];
        assert_eq!(env, wanted);
    }

    #[test]
    fn what_names_nothing_is_refused_with_its_place() {
        for flag in ["=x", "", "a b=c"] {
            assert!(collect(&[flag.to_owned()], &[]).is_err(), "{flag:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dev.env");
        fs::write(&file, "A=1\n=x\n").unwrap();
        let said = collect(&[], &[file]).unwrap_err().to_string();
        assert!(said.contains("dev.env:2: `=x` names no"), "{said}");
        assert!(collect(&[], &[dir.path().join("absent")]).is_err());
    }
}
