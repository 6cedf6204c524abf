//! What a sandbox has to say to people while it runs.

use std::fs;
use std::process::Stdio;

use super::eventually;
use crate::support::{Home, Ran, limited};

/// Said in the middle of it, it would spoil the screen.
#[test]
fn what_comes_up_while_a_command_runs_is_told_at_its_end() {
    let home = Home::new();
    let folder = home.project();
    for n in 0..600 {
        fs::write(folder.join(n.to_string()), "").unwrap();
    }
    home.ok(&["create", "--name", "few", "shell", "."]);
    // The first command also starts the sandbox, whose server of the folder may then open no more.
    let script = "seq 0 599 | xargs stat -c %n >/dev/null; read line; echo ended";
    let exec = home.command(&["exec", "-i", "few", "sh", "-c", script]);
    let mut exec = limited("-n 512", &exec);
    let exec = exec
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut exec = exec.spawn().unwrap();
    let sentence = "programs inside cannot open more files of";
    eventually("the sentence", || {
        home.run(&["inspect", "few"]).stdout.contains(sentence)
    });
    drop(exec.stdin.take());
    let ran = Ran::from(exec.wait_with_output().unwrap());
    assert_eq!(ran.stdout, "ended\n", "{ran:?}");
    let said = ran.stderr.lines().filter(|line| line.starts_with(sentence));
    assert_eq!(said.count(), 1, "{ran:?}");
    // Once: the next command has nothing to do with it.
    let next = home.run(&["exec", "few", "true"]);
    assert!(!next.stderr.contains(sentence), "{next:?}");
}
