//! `runc` as the Docker daemon calls it: lets a container trust the sandbox's certificates, then becomes the real one.
//!
//! Standing between the daemon and `runc` catches every container: of `docker run`, of `docker compose`, of both of
//! Docker's builders, of programs that speak to the daemon themselves. Nothing of it stays in an image. The bundle
//! of certificates appears below `/dev`, the one folder that every container has as a file system of its own;
//! the variables are in the process, not in the container's configuration. The image's own bundle is not covered:
//! its package manager could not replace it.
//!
//! Format: the OCI runtime specification, `config.json` of a bundle, and its `process` alone for `runc exec`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

use crate::environment::{BUNDLE_VARIABLES, CERT_VARIABLES};
use crate::exec::{PATH, find_program};
use crate::trust::{BUNDLE, OUR_CERT};

/// What it is called as.
pub const NAME: &str = "runc";

/// The certificates in a container: the guest's files, and where they appear.
const FILES: [(&str, &str); 2] = [
    (BUNDLE, "/dev/.sandbox/ca-certificates.crt"),
    (OUR_CERT, "/dev/.sandbox/proxy-ca.crt"),
];

/// Options of `runc` itself, before the command, that have no value.
const SWITCHES: [&str; 3] = ["debug", "systemd-cgroup", "help"];

/// Whether this process was called as `runc`.
#[must_use]
pub fn is_called() -> bool {
    let name = env::args_os().next().map(PathBuf::from);
    name.is_some_and(|name| name.file_name() == Some(OsStr::new(NAME)))
}

/// Becomes the real `runc`. Returns only if there is none.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    if let Some(file) = file_of(&args)
        && Path::new(OUR_CERT).exists()
        && let Err(error) = change(&file)
    {
        // A container without our certificates is better than none.
        complain(&format!(
            "`{}` is left as it is: {error}",
            file.path.display()
        ));
    }
    let error = match real() {
        Some(program) => Command::new(program).args(args).exec(),
        None => io::ErrorKind::NotFound.into(),
    };
    complain(&error.to_string());
    ExitCode::from(127)
}

fn complain(what: &str) {
    use io::Write;
    drop(writeln!(io::stderr(), "runc: {what}"));
}

/// The first in `PATH` that is not this one, which has a folder for itself.
fn real() -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
    let others: Vec<&str> = path
        .split(':')
        .filter(|folder| *folder != super::RUNTIME_DIR)
        .collect();
    find_program(NAME, &others.join(":"), Path::new("/")).ok()
}

/// What a command reads.
#[derive(Debug, PartialEq, Eq)]
struct ToChange {
    path: PathBuf,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// A container with its first process.
    Container,
    /// A process for a container that runs.
    Process,
}

/// The file that this command line is about, if it starts a process.
fn file_of(args: &[OsString]) -> Option<ToChange> {
    let mut args = args.iter().map(|arg| arg.to_str().unwrap_or_default());
    let command = loop {
        let arg = args.next()?;
        let Some(option) = arg.strip_prefix('-') else {
            break arg;
        };
        let option = option.trim_start_matches('-');
        if !option.contains('=') && !SWITCHES.contains(&option) {
            args.next();
        }
    };
    match command {
        "create" | "run" => {
            let bundle = value(args, ["bundle", "b"]).unwrap_or(".");
            Some(ToChange {
                path: Path::new(bundle).join("config.json"),
                what: What::Container,
            })
        }
        "exec" => Some(ToChange {
            path: value(args, ["process", "p"])?.into(),
            what: What::Process,
        }),
        _ => None,
    }
}

/// The value of an option in any of its spellings: `--name V`, `--name=V`, `-name V`.
fn value<'a>(mut args: impl Iterator<Item = &'a str>, names: [&str; 2]) -> Option<&'a str> {
    while let Some(arg) = args.next() {
        let Some(option) = arg.strip_prefix('-') else {
            continue;
        };
        let option = option.strip_prefix('-').unwrap_or(option);
        match option.split_once('=') {
            Some((name, value)) if names.contains(&name) => return Some(value),
            None if names.contains(&option) => return args.next(),
            _ => {}
        }
    }
    None
}

fn change(file: &ToChange) -> io::Result<()> {
    let text = fs::read_to_string(&file.path)?;
    let mut json: Value = serde_json::from_str(&text)?;
    match file.what {
        What::Container => change_container(&mut json),
        What::Process => change_process(&mut json),
    }
    fs::write(&file.path, json.to_string())
}

fn change_container(config: &mut Value) {
    if let Some(process) = config.get_mut("process") {
        change_process(process);
    }
    let mounts = config.get_mut("mounts").and_then(Value::as_array_mut);
    let Some(mounts) = mounts else { return };
    mounts.extend(FILES.map(|(source, destination)| {
        json!({
            "destination": destination,
            "type": "bind",
            "source": source,
            "options": ["bind", "ro", "nosuid", "nodev", "noexec", "rprivate"],
        })
    }));
}

/// What the image or the caller has set stays.
fn change_process(process: &mut Value) {
    let Some(process) = process.as_object_mut() else {
        return;
    };
    let env = process.entry("env").or_insert_with(|| json!([]));
    let Some(env) = env.as_array_mut() else {
        return;
    };
    let [(_, bundle), (_, ours)] = FILES;
    let all = BUNDLE_VARIABLES.iter().map(|name| (name, bundle));
    for (name, value) in all.chain(CERT_VARIABLES.iter().map(|name| (name, ours))) {
        let assignment = format!("{name}=");
        let is_set = |one: &Value| one.as_str().is_some_and(|one| one.starts_with(&assignment));
        if !env.iter().any(is_set) {
            env.push(format!("{assignment}{value}").into());
        }
    }
}

#[cfg(test)]
mod tests;
