//! Commands that look after the machine and what is left on it. Nothing is booted.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use serde_json::Value;

use crate::image;
use crate::support::{Home, Ran};

/// A user with a cache of their own, which has the tests' kernel and no template.
fn home() -> (Home, impl Fn(&[&str]) -> Ran) {
    let home = Home::new();
    image::tiny(&home.project());
    let own = home.path().join("cache");
    fs::create_dir(&own).unwrap();
    for shared in ["kernels", "initramfs"] {
        // Made by whichever test is first.
        fs::create_dir_all(crate::support::cache().join(shared)).unwrap();
        symlink(crate::support::cache().join(shared), own.join(shared)).unwrap();
    }
    let prepared = home.command(&[]);
    let env: Vec<_> = prepared
        .get_envs()
        .map(|(key, value)| (key.to_owned(), value.unwrap().to_owned()))
        .collect();
    let project = home.project();
    let run = move |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sandbox"));
        command
            .args(args)
            .current_dir(&project)
            .stdin(Stdio::null());
        command.envs(env.iter().map(|(key, value)| (key, value)));
        Ran::from(command.env("SANDBOX_CACHE", &own).output().unwrap())
    };
    (home, run)
}

fn ok(ran: Ran) -> String {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.stdout
}

#[test]
fn templates_are_listed_and_removed_when_nothing_is_made_of_them() {
    let (_home, run) = home();
    assert_eq!(ok(run(&["template", "ls", "-q"])), "");
    ok(run(&[
        "create",
        "-t",
        "./tiny.tar",
        "--name",
        "one",
        "shell",
        ".",
    ]));
    let listed: Value = serde_json::from_str(&ok(run(&["template", "ls", "--json"]))).unwrap();
    let template = &listed["templates"][0];
    assert_eq!(template["source"], "image");
    assert_eq!(template["sandboxes"][0], "one");
    let name = template["name"].as_str().unwrap();
    assert!(
        name.starts_with("sha256:"),
        "a saved image has no name of its own: {name}"
    );
    let table = ok(run(&["template", "ls"]));
    assert!(table.starts_with("TEMPLATE"), "{table}");

    let refused = run(&["template", "rm", name]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("sandboxes are made of: one"),
        "{refused:?}"
    );
    let absent = run(&["template", "rm", "nosuch"]);
    assert!(
        absent.stderr.contains("there is no template `nosuch`"),
        "{absent:?}"
    );
    ok(run(&["rm", "one"]));
    assert_eq!(ok(run(&["template", "rm", name])), format!("{name}\n"));
    assert_eq!(ok(run(&["template", "ls", "-q"])), "");
}

#[test]
fn reset_asks_and_leaves_the_workspace_and_the_default_policy() {
    let (home, run) = home();
    for name in ["one", "two"] {
        ok(run(&[
            "create",
            "-t",
            "./tiny.tar",
            "--name",
            name,
            "shell",
            ".",
        ]));
    }
    // A damaged one must not stand in the way.
    fs::write(home.sandbox_dir("two").join("sandbox.json"), "{").unwrap();
    let unasked = run(&["reset"]);
    assert_eq!(unasked.code, 1, "{unasked:?}");
    let question = "⚠️  WARNING: This will permanently delete all VM data and stop all running agents!\n\
                    Are you sure you want to continue? (y/N): ";
    assert!(unasked.stderr.starts_with(question), "{unasked:?}");
    assert!(home.sandbox_dir("one").exists());
    assert_eq!(
        ok(run(&["reset", "--force"])),
        "All VMs reset successfully\n"
    );
    assert_eq!(fs::read_dir(home.sandbox_dir("")).unwrap().count(), 0);
    assert_eq!(ok(run(&["template", "ls", "-q"])), "");
    assert!(home.path().join(".sandboxd/proxy-config.json").exists());
    assert!(home.project().join("tiny.tar").exists());
}

#[test]
fn diff_names_first_what_the_host_would_run() {
    let (home, run) = home();
    let at = |name: &str| home.project().join(name);
    fs::write(at("main.rs"), "fn main() {}").unwrap();
    fs::create_dir_all(at(".git/hooks")).unwrap();
    ok(run(&[
        "create",
        "-t",
        "./tiny.tar",
        "--name",
        "one",
        "claude",
        ".",
    ]));
    assert_eq!(ok(run(&["diff", "one"])), "");
    fs::write(at("main.rs"), "fn main() { evil() }").unwrap();
    fs::write(at(".git/hooks/post-checkout"), "#!/bin/sh").unwrap();
    fs::create_dir(at(".vscode")).unwrap();
    fs::write(at(".vscode/tasks.json"), "{}").unwrap();
    fs::write(at("odd\nA forged"), "").unwrap();
    let wanted = "A .git/hooks/post-checkout\nA .vscode/tasks.json\nA .vscode/ (0 files)\n\
                  M main.rs\nA odd\\nA forged\n";
    assert_eq!(ok(run(&["diff", "one"])), wanted);
    let json: Value = serde_json::from_str(&ok(run(&["diff", "--json", "one"]))).unwrap();
    assert_eq!(json["changes"][0]["runs"], "git");
    assert_eq!(json["changes"][3]["change"], "modified");
    ok(run(&["diff", "--accept", "one"]));
    assert_eq!(ok(run(&["diff", "one"])), "");
}

#[test]
fn doctor_finds_the_machine_that_runs_the_tests_ready() {
    let home = Home::new();
    let all: Value = serde_json::from_str(&home.run(&["doctor", "--json"]).stdout).unwrap();
    assert_eq!(all["ready"], true, "{all:#}");
    let qemu = &all["findings"][0];
    assert_eq!(
        (&qemu["severity"], &qemu["package"]),
        (&"good".into(), &Value::Null)
    );
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.ok(&["completion", shell]);
        assert!(script.contains("mount-docker-socket"), "{shell}");
        assert!(script.contains("template"), "{shell}");
    }
    let pages = home.path().join("man");
    home.ok(&["completion", "man", pages.to_str().unwrap()]);
    for page in [
        "sandbox.1",
        "sandbox-run.1",
        "sandbox-network-log.1",
        "sandbox-template-build.1",
    ] {
        assert!(
            fs::read_to_string(pages.join(page))
                .unwrap()
                .contains(".TH"),
            "{page}"
        );
    }
    assert!(!pages.join("sandbox-internal.1").exists());
}

/// The real client of Docker finds the plugin and hands it the whole command line.
#[test]
fn docker_sandbox_is_sandbox() {
    let home = Home::new();
    image::tiny(&home.project());
    let config = home.path().join("docker-config");
    let plugins = config.join("cli-plugins");
    fs::create_dir_all(&plugins).unwrap();
    symlink(
        env!("CARGO_BIN_EXE_sandbox"),
        plugins.join("docker-sandbox"),
    )
    .unwrap();
    let docker = |args: &[&str]| {
        let mut docker = std::process::Command::new("docker");
        docker
            .arg("--config")
            .arg(&config)
            .args(args)
            .current_dir(home.project());
        docker.envs(
            home.command(&[])
                .get_envs()
                .map(|(key, value)| (key, value.unwrap())),
        );
        Ran::from(docker.stdin(Stdio::null()).output().unwrap())
    };
    let created = docker(&[
        "sandbox",
        "create",
        "-t",
        "./tiny.tar",
        "--name",
        "sandbox",
        "shell",
        ".",
    ]);
    assert_eq!(
        (created.code, created.stdout.as_str()),
        (0, "sandbox\n"),
        "{created:?}"
    );
    assert_eq!(
        docker(&["--log-level", "error", "sandbox", "ls", "-q"]).stdout,
        "sandbox\n"
    );
    let help = docker(&["sandbox", "run", "--help"]);
    assert!(
        help.stdout.contains("Usage: docker sandbox run"),
        "{help:?}"
    );
    let wrong = docker(&["sandbox", "run", "--nosuch", "claude"]);
    assert_ne!(wrong.code, 0);
    assert!(wrong.stderr.contains("--nosuch"), "{wrong:?}");
    assert_eq!(docker(&["sandbox", "rm", "sandbox"]).stdout, "sandbox\n");
}

/// A `docker` that has one old sandbox and the volume, until they are removed.
const OLD_DOCKER: &str = r#"#!/bin/sh
echo "$*" >> "$STATE/log"
case "$1 $2" in
"ps --all") [ -e "$STATE/removed" ] || echo 0123456789abcdef ;;
"container inspect") cat "$STATE/inspect.json" ;;
"volume ls") [ -e "$STATE/no-volume" ] || echo docker-claude-sandbox-data ;;
"commit --message") echo sha256:x ;;
"image inspect") echo sha256:feed ;;
"image save") cat "$STATE/tiny.tar" ;;
"image rm") ;;
"rm --force") touch "$STATE/removed" ;;
"volume rm") touch "$STATE/no-volume" ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac
"#;

#[test]
fn sandboxes_of_the_container_generation_are_found_moved_and_removed() {
    let home = Home::new();
    let state = tempfile::tempdir().unwrap();
    image::tiny(state.path());
    let workspace = home.project().canonicalize().unwrap();
    let inspected = serde_json::json!([{
        "Id": "0123456789abcdef", "Name": "/claude-sandbox-2026", "State": { "Status": "exited" },
        "Config": { "Image": "docker/sandbox-templates:claude-code", "Labels": {
            "docker/sandbox": "true",
            "com.docker.sandbox.agent": "claude",
            "com.docker.sandbox.workingDirectory": workspace,
        } },
    }]);
    fs::write(state.path().join("inspect.json"), inspected.to_string()).unwrap();
    let docker = state.path().join("docker");
    fs::write(&docker, OLD_DOCKER).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", state.path().display());
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        Ran::from(
            command
                .env("PATH", &path)
                .env("STATE", state.path())
                .output()
                .unwrap(),
        )
    };

    let listed = run(&["legacy", "ls"]);
    let row: Vec<&str> = listed
        .stdout
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .collect();
    let shown = workspace.to_str().unwrap();
    assert_eq!(
        row,
        [
            "0123456789ab",
            "docker/sandbox-templates:claude-code",
            "claude-sandbox-2026",
            shown,
            "exited"
        ]
    );
    assert!(
        listed.stderr.contains("docker-claude-sandbox-data"),
        "{listed:?}"
    );
    let doctor = run(&["doctor"]);
    assert!(
        doctor
            .stdout
            .contains("1 sandboxes of Docker's older generation"),
        "{doctor:?}"
    );

    let nothing = run(&["legacy", "rm"]);
    assert_eq!(nothing.code, 2, "{nothing:?}");
    assert_eq!(
        ok(run(&["legacy", "migrate", "claude-sandbox-2026"])),
        "claude-project\n"
    );
    let told: Value = serde_json::from_str(&home.ok(&["inspect", "claude-project"])).unwrap();
    assert_eq!(told[0]["template"], "sandbox-legacy/0123456789ab:migrated");
    assert_eq!(told[0]["workspaces"][0]["path"], shown);
    assert_eq!(
        ok(run(&["legacy", "rm", "--all", "--volume"])),
        "claude-sandbox-2026\ndocker-claude-sandbox-data\n"
    );
    let left: Value = serde_json::from_str(&ok(run(&["legacy", "ls", "--json"]))).unwrap();
    assert_eq!(
        left,
        serde_json::json!({ "containers": [], "volume": false })
    );
}

#[test]
fn the_version_has_dockers_shape() {
    let home = Home::new();
    let version = home.ok(&["version"]);
    let words: Vec<&str> = version.split_whitespace().collect();
    assert_eq!(
        words[..2],
        ["sandbox", concat!("v", env!("CARGO_PKG_VERSION"))]
    );
    for also in [&["--version"][..], &["-V"], &["-D", "version"]] {
        assert_eq!(home.ok(also), version, "{also:?}");
    }
    let metadata: Value = serde_json::from_str(&home.ok(&["docker-cli-plugin-metadata"])).unwrap();
    assert_eq!(metadata["SchemaVersion"], "0.1.0");
    assert_eq!(metadata["Version"], words[1]);
}
