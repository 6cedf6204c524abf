//! The command line: what it says, where it says it, and how it exits.

use std::fs;

use crate::support::Home;

/// Bad input: one sentence that says what to do, and the promised exit code.
#[test]
fn bad_input_is_told_in_one_sentence() {
    let home = Home::new();
    fs::write(home.project().join("file"), "").unwrap();
    fs::write(
        home.project().join("broken.json"),
        "{\n  \"policy\": \"perhaps\"\n}\n",
    )
    .unwrap();
    for (args, code, says) in [
        (
            &["inspect", "nosuch"][..],
            1,
            "there is no sandbox `nosuch`",
        ),
        (
            &["exec", "nosuch", "true"],
            125,
            "there is no sandbox `nosuch`",
        ),
        (&["stop", "nosuch"], 1, "there is no sandbox `nosuch`"),
        (&["rm", "nosuch"], 1, "there is no sandbox `nosuch`"),
        (
            &["network", "log", "nosuch"],
            1,
            "there is no sandbox `nosuch`",
        ),
        (
            &["network", "proxy", "nosuch"],
            1,
            "there is no sandbox `nosuch`",
        ),
        (
            &["run", "hal9000"],
            2,
            "`hal9000` is neither an agent nor a sandbox",
        ),
        (
            &["create", "hal9000", "."],
            2,
            "there is no agent `hal9000`",
        ),
        (
            &["create", "shell", "no/such/folder"],
            1,
            "cannot share `no/such/folder`",
        ),
        (&["create", "shell", "file"], 1, "it is not a folder"),
        (
            &["create", "shell", "/"],
            1,
            "the guest has a root folder of its own",
        ),
        (
            &["create", "--name", "../x", "shell", "."],
            2,
            "is no name for a sandbox",
        ),
        (
            &["create", "--name", "shell", "shell", "."],
            2,
            "is an agent's name",
        ),
        (&["create", "shell"], 2, "WORKSPACE"),
        (&["frobnicate"], 2, "frobnicate"),
        (&["proxy", "--config", "broken.json"], 1, "broken.json:2:"),
        (&["proxy", "--config", "absent.json"], 1, "absent.json"),
        (
            &["policy", "check", "--config", "broken.json"],
            1,
            "broken.json:2:",
        ),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, code, "sandbox {args:?}: {ran:?}");
        assert!(ran.stderr.contains(says), "sandbox {args:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "sandbox {args:?} printed data");
    }
    assert_eq!(home.ok(&["ls", "-q"]), "", "nothing half-made is left");
}

#[test]
fn every_command_has_help() {
    let home = Home::new();
    for command in [
        &[][..],
        &["run"],
        &["create"],
        &["exec"],
        &["ls"],
        &["inspect"],
        &["stop"],
        &["rm"],
        &["network"],
        &["network", "proxy"],
        &["network", "log"],
        &["policy", "explain"],
        &["policy", "check"],
        &["policy", "test"],
        &["policy", "fmt"],
        &["policy", "diff"],
        &["policy", "convert"],
        &["policy", "schema"],
        &["policy", "replay"],
        &["policy", "learn"],
        &["policy", "import"],
        &["proxy"],
        &["prepare"],
        &["reset"],
        &["save"],
        &["diff"],
        &["template"],
        &["template", "build"],
        &["template", "ls"],
        &["template", "rm"],
        &["template", "save"],
        &["doctor"],
        &["legacy"],
        &["legacy", "ls"],
        &["legacy", "migrate"],
        &["legacy", "rm"],
        &["completion"],
        &["version"],
    ] {
        let help = home.ok(&[command, &["--help"]].concat());
        assert!(help.contains("Usage: sandbox"), "{command:?}: {help}");
    }
}

#[test]
fn no_sandboxes_is_an_empty_list() {
    let home = Home::new();
    assert_eq!(home.ok(&["ls", "-q"]), "");
    assert_eq!(
        home.ok(&["ls"]).trim_end(),
        "VM ID   NAME   STATUS   WORKSPACE   SOCKET PATH   SANDBOXES   AGENTS"
    );
    let json: serde_json::Value = serde_json::from_str(&home.ok(&["ls", "--json"])).unwrap();
    assert_eq!(json, serde_json::json!({ "vms": [] }));
}
