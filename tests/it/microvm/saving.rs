//! A template made of a sandbox.

use std::fs;
use std::process::Command;

use super::Running;
use crate::support::{Home, Ran};

/// A variable of the sandbox, which is nobody else's.
const OWN: &str = "only-of-the-first-sandbox";

#[test]
fn what_was_installed_is_in_a_saved_template_and_the_sandboxs_own_is_not() {
    let home = Home::new();
    let git = "[user]\n\tname = Ann\n\temail = ann@example.com\n";
    fs::write(home.path().join(".gitconfig"), git).unwrap();
    let own = format!("OWN={OWN}");
    home.ok(&["create", "--name", "first", "-e", &own, "shell", "."]);
    let vm = Running::adopt(home, "first", &[]);
    assert_eq!(
        vm.ok_inside("git config user.email").trim(),
        "ann@example.com"
    );
    assert_eq!(vm.ok_inside("echo $OWN").trim(), OWN);
    vm.ok_inside(
        "sudo sh -c 'echo tool > /opt/tool; chmod 4755 /opt/tool; ln /opt/tool /opt/link'; echo mine > ~/notes",
    );
    assert_eq!(
        vm.ok(&["save", "first", "tests/saved:v1"]),
        "tests/saved:v1\n"
    );

    let archive = vm.home.project().join("saved.tar");
    vm.ok(&["save", "-o", "saved.tar", "first", "tests/saved:v1"]);
    let listed = Command::new("tar")
        .arg("-tf")
        .arg(&archive)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.starts_with("manifest.json\n") && listed.contains("/layer.tar\n"),
        "{listed}"
    );
    let layer = listed
        .lines()
        .find(|name| name.ends_with("/layer.tar"))
        .unwrap();
    let twice = "tar -xOf \"$0\" \"$1\" | tar -t | sed 's,^\\./,,; s,/$,,' | sort | uniq -d";
    let twice = Command::new("sh")
        .args(["-c", twice])
        .arg(&archive)
        .arg(layer)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(twice.stdout).unwrap(),
        "",
        "Docker takes no path twice"
    );
    fs::remove_file(&archive).unwrap();
    vm.ok(&["stop", "first"]);

    vm.ok(&[
        "create",
        "-t",
        "tests/saved:v1",
        "--pull-template",
        "never",
        "--name",
        "second",
        "shell",
        ".",
    ]);
    let inside = |script: &str| {
        let args = ["exec", "second", "sh", "-c", script];
        let ran = Ran::from(vm.command(&args).output().unwrap());
        assert_eq!(ran.code, 0, "{script}: {ran:?}");
        ran.stdout
    };
    assert_eq!(
        inside("cat /opt/tool; stat -c '%a %U %h' /opt/link"),
        "tool\n4755 root 2\n"
    );
    assert_eq!(
        inside("id -un; cat ~/notes; sudo id -un"),
        "agent\nmine\nroot\n"
    );
    let everywhere = "env; cat /etc/environment /etc/profile.d/*.sh /etc/sudoers.d/*; true";
    assert!(!inside(&format!("sudo sh -c '{everywhere}'")).contains(OWN));
    let refused = Ran::from(
        vm.command(&["template", "rm", "tests/saved:v1"])
            .output()
            .unwrap(),
    );
    assert!(refused.stderr.contains("made of: second"), "{refused:?}");
    vm.ok(&["rm", "second"]);
    assert_eq!(
        vm.ok(&["template", "rm", "tests/saved:v1"]),
        "docker.io/tests/saved:v1\n"
    );
}
