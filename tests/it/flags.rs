//! What `create` and `run` take, and what becomes of it. Nothing is booted.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::image;
use crate::support::{Home, Ran};

/// A user with a template that costs nothing.
fn home() -> Home {
    let home = Home::new();
    image::tiny(&home.project());
    home
}

fn inspect(home: &Home, name: &str) -> Value {
    let all: Value = serde_json::from_str(&home.ok(&["inspect", name])).unwrap();
    all[0].clone()
}

#[test]
fn a_sandbox_remembers_what_it_was_made_with() {
    let home = home();
    fs::create_dir(home.project().join("data")).unwrap();
    fs::write(home.project().join("dev.env"), "# file\nA=file\nB=file\n").unwrap();
    let git = "[user]\n\tname = Ann\n\temail = ann@example.com\n";
    fs::write(home.path().join(".gitconfig"), git).unwrap();
    let mut create = home.command(&[
        "create",
        "-t",
        "./tiny.tar",
        "--name",
        "full",
        "--read-only",
        "--hide",
        ".env",
        "--hide",
        "*.pem",
        "-v",
        "data:/data",
        "--volume",
        "data:/ro:readonly",
        "-v",
        "dev.env:/etc/dev.env:ro",
        "-e",
        "A=flag",
        "-e",
        "PASSED",
        "-e",
        "ABSENT",
        "--env-file",
        "dev.env",
        "--credentials=none",
        "--memory",
        "3g",
        "--cpus",
        "3",
        "--disk",
        "7g",
        "--publish",
        "127.0.0.1:8080:80",
        "--publish",
        "3000",
        "claude",
        ".",
        "/srv:ro",
    ]);
    let ran = Ran::from(create.env("PASSED", "on").output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "full\n"), "{ran:?}");

    let told = inspect(&home, "full");
    let project = home.project().canonicalize().unwrap();
    let data = project.join("data");
    for (key, value) in [
        ("agent", json!("claude")),
        ("status", json!("stopped")),
        ("template", json!("./tiny.tar")),
        (
            "workspaces",
            json!([
                { "path": project, "readOnly": true },
                { "path": "/srv", "readOnly": true },
            ]),
        ),
        (
            "volumes",
            json!([
                { "host": data, "guest": "/data", "readOnly": false },
                { "host": data, "guest": "/ro", "readOnly": true },
                { "host": project.join("dev.env"), "guest": "/etc/dev.env", "readOnly": true },
            ]),
        ),
        ("hide", json!([".env", "*.pem"])),
        ("env", json!(["B=file", "A=flag", "PASSED=on"])),
        ("credentials", json!("none")),
        ("isolation", json!("microvm")),
        ("docker_socket", json!(false)),
        ("memory_mib", json!(3072)),
        ("cpus", json!(3)),
        ("disk_gib", json!(7)),
        (
            "publish",
            json!([
                { "host": "127.0.0.1:8080", "guest_port": 80 },
                { "host": "127.0.0.1:0", "guest_port": 3000 },
            ]),
        ),
    ] {
        assert_eq!(told[key], value, "{key}");
    }
    let record = fs::read_to_string(home.sandbox_dir("full").join("sandbox.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(
        record["git"],
        json!({ "name": "Ann", "email": "ann@example.com" })
    );
    assert_eq!(record["version"], 2);
}

#[test]
fn a_record_of_the_first_layout_is_read() {
    let home = home();
    home.ok(&["create", "-t", "./tiny.tar", "--name", "old", "shell", "."]);
    let file = home.sandbox_dir("old").join("sandbox.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    record["version"] = json!(1);
    let record = record.as_object_mut().unwrap();
    for new in ["git", "volumes", "hide", "env", "credentials", "publish"] {
        record.remove(new).unwrap();
    }
    fs::write(&file, json!(record).to_string()).unwrap();
    assert_eq!(inspect(&home, "old")["hide"], json!([]));
}

/// A sandbox keeps what it was made with. Where a flag would keep something from the agent, going on without it would be
/// worse than an error.
#[test]
fn nothing_starts_with_more_than_was_asked_for() {
    let home = home();
    let made = ["create", "-t", "./tiny.tar", "--isolation", "container"];
    home.ok(&[
        &made[..],
        &["--name", "made", "-v", "/srv:/data", "shell", "."],
    ]
    .concat());
    for (line, flag) in [
        (&["--hide", ".env", "made"][..], "--hide"),
        (&["--read-only", "made"], "--read-only"),
        (&["--credentials", "none", "made"], "--credentials"),
        (&["--isolation", "microvm", "made"], "--isolation"),
        (&["-v", "/srv:/data:ro", "made"], "--volume"),
        (&["--name", "made", "shell", ".:ro"], ":ro"),
    ] {
        let ran = home.run(&[&["run", "--detached"], line].concat());
        assert_eq!(ran.code, 2, "{line:?}: {ran:?}");
        let says = format!("sandbox `made` was made without this {flag} and cannot be changed");
        assert!(ran.stderr.contains(&says), "{line:?}: {ran:?}");
    }
    assert!(home.ok(&["ls"]).contains("stopped"));
}

#[test]
fn wrong_flags_are_told_and_leave_nothing_behind() {
    let home = home();
    fs::write(home.project().join("file"), "").unwrap();
    fs::write(home.project().join("bad.env"), "A=1\n=x\n").unwrap();
    for (flags, code, says) in [
        (&["--memory", "1m"][..], 2, "use 256 to"),
        (&["--memory", "plenty"], 2, "write an amount like `4g`"),
        (&["--disk", "10m"], 2, "use 1024 to"),
        (&["--cpus", "0"], 2, "--cpus"),
        (&["--publish", "x"], 2, "SANDBOX_PORT"),
        (&["--publish", "53:53/udp"], 2, "only TCP ports"),
        (&["--hide", "!.env"], 2, "what is hidden stays hidden"),
        (&["--hide", ""], 2, "write a file's name"),
        (&["-v", "/srv"], 2, "HOST_PATH:SANDBOX_PATH"),
        (&["-v", "/srv:/proc"], 2, "nothing can be shared at `/proc`"),
        (&["-v", "no/such:/data"], 1, "cannot share `no/such`"),
        (&["-v", "file:/etc/passwd"], 2, "nothing can be shared at"),
        (&["-v", "/dev/null:/data"], 1, "neither a folder nor"),
        (&["-v", "../home:/data"], 1, "it holds the policies"),
        (&["-v", "../run:/data"], 1, "it holds the sockets"),
        (&["-v", "..:/data"], 1, "cannot share `..`"),
        (
            &["-v", "/srv:/data", "-v", "/opt:/data"],
            2,
            "would be two folders",
        ),
        (&["-e", "=x"], 2, "names no environment variable"),
        (&["--env-file", "absent.env"], 1, "absent.env"),
        (&["--env-file", "bad.env"], 2, "bad.env:2:"),
        (
            &["--mount-docker-socket"],
            2,
            "cannot have the host's Docker socket",
        ),
        (
            &["--credentials", "all"],
            2,
            "[possible values: sandbox, host, none]",
        ),
    ] {
        let line = [&["create", "-t", "./tiny.tar"], flags, &["shell", "."]].concat();
        let ran = home.run(&line);
        assert_eq!(ran.code, code, "{flags:?}: {ran:?}");
        assert!(ran.stderr.contains(says), "{flags:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{flags:?}");
    }
    assert_eq!(home.ok(&["ls", "-q"]), "");
}

#[test]
fn documented_idioms_work_as_written() {
    let home = home();
    for name in ["one", "two"] {
        let created = home.run(&[
            "create",
            "-t",
            "./tiny.tar",
            "--name",
            name,
            "-q",
            "shell",
            ".",
        ]);
        assert_eq!((created.code, created.stdout), (0, format!("{name}\n")));
        assert_eq!(
            created
                .stderr
                .lines()
                .filter(|line| line.contains("go in with"))
                .count(),
            0
        );
    }
    assert_eq!(home.ok(&["ls", "-q"]), "one\ntwo\n");
    let table = home.ok(&["ls"]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[1][1..3], ["one", "stopped"]);
    assert_eq!(rows[2][6], "shell", "{table}");
    let json: Value = serde_json::from_str(&home.ok(&["ls", "--json"])).unwrap();
    assert_eq!(json["vms"][1]["name"], "two");
    assert!(
        json["vms"][1].get("socket_path").is_none(),
        "a stopped one has none"
    );

    let sandbox = env!("CARGO_BIN_EXE_sandbox");
    for idiom in ["stop $(sandbox ls -q)", "rm $(sandbox ls -q)"] {
        let script = format!("sandbox {idiom}").replace("sandbox ", &format!("{sandbox} "));
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        for (key, value) in home.command(&[]).get_envs() {
            shell.env(key, value.unwrap());
        }
        let ran = Ran::from(shell.output().unwrap());
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (0, "one\ntwo\n"),
            "{idiom}: {ran:?}"
        );
    }
    assert_eq!(home.ok(&["ls", "-q"]), "");
}

#[test]
fn a_key_in_the_workspace_is_warned_about() {
    let home = home();
    let config = home.project().join(".claude.json");
    for (text, warns) in [(r#"{"primaryApiKey":"sk-ant-x"}"#, true), ("{}", false)] {
        fs::write(&config, text).unwrap();
        let ran = home.run(&["create", "-t", "./tiny.tar", "claude", "."]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(
            ran.stderr.contains("has a `primaryApiKey`"),
            warns,
            "{ran:?}"
        );
        assert!(!ran.stderr.contains("sk-ant-x"), "{ran:?}");
        home.ok(&["rm", "claude-project"]);
    }
}
