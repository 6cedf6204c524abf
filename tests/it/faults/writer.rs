//! F12: a command that changes a policy is killed at each of its system calls.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{names, strace};
use crate::support::Ran;

#[test]
fn a_writer_killed_at_any_system_call_leaves_the_old_or_the_new() {
    let home = super::home();
    let dir = home.sandbox_dir("s");
    let config = dir.join("proxy-config.json");
    let old = fs::read(&config).unwrap();
    let change = home.command(&["network", "proxy", "s", "--allow-host", "new.test"]);
    let calls = strace::calls(&change, "policy.lock");
    let new = fs::read(&config).unwrap();
    assert_ne!(old, new);
    let whole = names(&dir);

    let (mut kept, mut replaced, mut drafts) = (0, 0, 0);
    for call in &calls {
        fs::write(&config, &old).unwrap();
        strace::killed_at(&change, call);
        let left = fs::read(&config).unwrap();
        kept += usize::from(left == old);
        replaced += usize::from(left == new);
        assert!(
            left == old || left == new,
            "{call:?}: {}",
            String::from_utf8_lossy(&left)
        );
        let mode = fs::metadata(&config).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{call:?}");
        drafts += usize::from(names(&dir) != whole);
        // The next writer waits for nobody and removes what lies there.
        home.ok(&["network", "proxy", "s", "--block-host", "other.test"]);
        assert_eq!(names(&dir), whole, "{call:?}");
    }
    // Otherwise the calls were not those that matter.
    assert!(
        kept > 5 && replaced > 0 && drafts > 0,
        "{kept}, {replaced}, {drafts}: {calls:?}"
    );
}

/// A removal that is cut short, here by a tool that fails, leaves no half of a sandbox to go back into.
#[test]
fn a_removal_cut_short_leaves_no_half_of_a_sandbox() {
    let home = super::home();
    let sandboxes = home.sandbox_dir("s").parent().unwrap().to_owned();
    fs::create_dir_all(home.sandbox_dir("s").join("rootfs/root/bin")).unwrap();
    let tool = home.project().join("rm");
    fs::write(&tool, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let mut rm = home.command(&["rm", "s"]);
    let ran = Ran::from(rm.env("PATH", home.project()).output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert_eq!(home.ok(&["ls", "-q"]), "");
    home.ok(&["create", "-t", "./tiny.tar", "--name", "t", "shell", "."]);
    assert_eq!(names(&sandboxes), ["t"]);
}

/// What was killed while it made or removed a sandbox is cleared away by the next that does.
#[test]
fn half_made_sandboxes_are_cleared_away() {
    let home = super::home();
    let sandboxes = home.sandbox_dir("s").parent().unwrap().to_owned();
    for half in [".draft-create", ".draft-remove"] {
        fs::create_dir_all(sandboxes.join(half).join("proxy_cacerts")).unwrap();
        fs::write(
            sandboxes.join(half).join("proxy_cacerts/proxy-ca.key"),
            "key",
        )
        .unwrap();
        assert_eq!(home.ok(&["ls", "-q"]), "s\n");
        home.ok(&["create", "-t", "./tiny.tar", "--name", "t", "shell", "."]);
        assert_eq!(names(&sandboxes), ["s", "t"]);
        home.ok(&["rm", "t"]);
    }
    assert_eq!(names(&sandboxes), ["s"]);
}
