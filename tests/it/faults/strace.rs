//! Killing a command at each of its system calls, by strace(1).

use std::collections::HashMap;
use std::process::Command;

use crate::support::Ran;

/// A system call of a command: its name, and how many of that name it has made by then, itself included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    number: usize,
}

/// The calls that `command` makes once one of them has mentioned `from`; those that only concern memory are left out.
pub(super) fn calls(command: &Command, from: &str) -> Vec<Call> {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let ran = run(traced(command, &["-o", trace.path().to_str().unwrap()]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = std::fs::read_to_string(trace.path()).unwrap();
    let mut made = HashMap::<&str, usize>::new();
    let mut calls = Vec::new();
    let mut begun = false;
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('(') else {
            continue; // its end
        };
        let number = made.entry(name).or_default();
        *number += 1;
        begun |= rest.contains(from);
        let memory = ["mmap", "munmap", "mprotect", "mremap", "brk", "madvise"].contains(&name);
        if begun && !memory {
            calls.push(Call {
                name: name.to_owned(),
                number: *number,
            });
        }
    }
    assert!(calls.len() > 5, "{text}");
    calls
}

/// Runs `command` and kills it as it makes `call`.
pub(super) fn killed_at(command: &Command, call: &Call) -> Ran {
    let kill = format!("inject={}:signal=KILL:when={}", call.name, call.number);
    run(traced(command, &["-o", "/dev/null", "-e", &kill]))
}

fn traced(command: &Command, flags: &[&str]) -> Command {
    let mut strace = Command::new("strace");
    strace
        .args(flags)
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .stdin(std::process::Stdio::null());
    for (key, value) in command.get_envs() {
        strace.env(key, value.unwrap());
    }
    strace
}

fn run(mut command: Command) -> Ran {
    Ran::from(
        command
            .output()
            .expect("strace is installed by `make test-setup`"),
    )
}
