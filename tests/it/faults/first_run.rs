//! F29: the first commands of a user, all at once, and killed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{names, strace};
use crate::image;
use crate::support::{Home, Ran};

const CREATE: [&str; 5] = ["create", "-t", "./tiny.tar", "--name", "NAME"];

fn create(home: &Home, name: &str) -> std::process::Command {
    let mut args = CREATE
        .map(|arg| if arg == "NAME" { name } else { arg })
        .to_vec();
    args.extend(["shell", "."]);
    home.command(&args)
}

#[test]
fn commands_at_once_make_everything_once() {
    let home = Home::new();
    image::tiny(&home.project());
    let names_of = ["a", "b", "c", "d", "e", "f"];
    let running = names_of.map(|name| {
        // Two ask for each name, and one of them gets it.
        [name, name].map(|name| {
            let mut command = create(&home, name);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
    });
    let mut authorities = BTreeSet::new();
    for (name, both) in names_of.iter().zip(running) {
        let mut codes = both.map(|one| {
            let ran = Ran::from(one.wait_with_output().unwrap());
            let told = ran
                .stderr
                .contains(&format!("there is a sandbox `{name}` already"));
            assert!(ran.code == 0 || ran.code == 1 && told, "{ran:?}");
            ran.code
        });
        codes.sort_unstable();
        assert_eq!(codes, [0, 1], "{name}");
        let dir = home.sandbox_dir(name);
        authorities.insert(fs::read(dir.join("proxy_cacerts/proxy-ca.crt")).unwrap());
    }
    assert_eq!(authorities.len(), names_of.len(), "each has its own");
    assert_eq!(names(&home.path().join(".docker/sandboxes/vm")), names_of);
    assert_eq!(names(&home.path().join(".sandboxd")), ["proxy-config.json"]);
}

/// Of those that `run` a sandbox at once, one makes it and the others go into it. The template has no program
/// to run, so all of them end there.
#[test]
fn runs_at_once_make_a_sandbox_and_go_into_it() {
    let home = Home::new();
    image::tiny(&home.project());
    let line = ["run", "--isolation", "container", "-t", "./tiny.tar"];
    let running = [0; 6].map(|_| {
        let mut command = home.command(&[&line[..], &["--name", "a", "shell", "."]].concat());
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    });
    for one in running {
        let ran = Ran::from(one.wait_with_output().unwrap());
        assert!(!ran.stderr.contains("there is a sandbox"), "{ran:?}");
    }
    assert_eq!(names(&home.path().join(".docker/sandboxes/vm")), ["a"]);
}

/// The first command is killed at each of its system calls from the default policy on.
#[test]
fn a_first_run_killed_at_any_system_call_is_finished_by_the_next() {
    let home = Home::new();
    image::tiny(&home.project());
    let sandboxd = home.path().join(".sandboxd");
    let default = sandboxd.join("proxy-config.json");
    let first = create(&home, "a");
    // Whatever else it does, this changes what is on disk.
    let changes = [
        "openat",
        "write",
        "fsync",
        "fchmod",
        "rename",
        "renameat2",
        "link",
        "linkat",
        "unlink",
        "mkdir",
        "flock",
    ];
    let calls = strace::calls(&first, ".sandboxd");
    let text = fs::read(&default).unwrap();
    let calls = calls
        .iter()
        .filter(|call| changes.contains(&call.name.as_str()));
    // A sample is enough of those that come after the default policy.
    let calls: Vec<_> = calls
        .enumerate()
        .filter(|(at, _)| *at < 12 || at % 10 == 0)
        .collect();
    assert!(calls.len() > 10, "{calls:?}");
    for (_, call) in calls {
        let _ = fs::remove_dir_all(home.path().join(".docker"));
        let _ = fs::remove_dir_all(&sandboxd);
        strace::killed_at(&first, call);
        let made = fs::metadata(&default).ok().map(|file| file.ino());
        let ran = Ran::from(create(&home, "a").output().unwrap());
        assert!(
            ran.code == 0 || ran.stderr.contains("already"),
            "{call:?}: {ran:?}"
        );
        assert_eq!(fs::read(&default).unwrap(), text, "{call:?}");
        let now = fs::metadata(&default).unwrap().ino();
        assert!(
            made.is_none_or(|made| made == now),
            "{call:?}: it was made twice"
        );
        assert_eq!(
            names(&home.path().join(".docker/sandboxes/vm")),
            ["a"],
            "{call:?}"
        );
        assert_eq!(names(&sandboxd), ["proxy-config.json"], "{call:?}");
        let whole = names(&home.sandbox_dir("a").join("proxy_cacerts"));
        assert_eq!(whole, ["proxy-ca.crt", "proxy-ca.key"], "{call:?}");
    }
}
