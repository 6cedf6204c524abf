//! A test once more in namespaces of its own, in which it is root: nobody else sees its addresses, limits and mounts.

use std::process::{Command, Output};

/// Set in the process that has them.
const INSIDE: &str = "SANDBOX_TEST_NAMESPACE";

/// Whether this is the process with a network of its own; its loopback is up then.
pub(crate) fn is_inside() -> bool {
    let inside = std::env::var_os(INSIDE).is_some();
    if inside {
        ip("link set lo up");
    }
    inside
}

/// Runs `test` once more in new `namespaces`, as `unshare` names them: it must pass there.
///
/// What it said, or why there can be none. A chroot has no user namespaces to give, and root needs none.
pub(crate) fn again(test: &str, namespaces: &[&str]) -> Result<String, Vec<String>> {
    const USER: &[&str] = &["--user", "--map-root-user"];
    let ways: &[&[&str]] = match rustix::process::geteuid().is_root() {
        true => &[&[], USER],
        false => &[USER],
    };
    let mut reasons = Vec::new();
    for way in ways {
        match tried(test, &[way, namespaces].concat()) {
            Ok(said) => return Ok(said),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons)
}

fn tried(test: &str, flags: &[&str]) -> Result<String, String> {
    let output = Command::new("unshare")
        .args(flags)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    if wrong.starts_with("unshare:") {
        return Err(wrong);
    }
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{wrong}"
    );
    Ok(said)
}

/// Runs `ip` (iproute2), whatever comes of it.
pub(crate) fn try_ip(words: &str) -> Output {
    Command::new("ip").args(words.split(' ')).output().unwrap()
}

/// Runs `ip`, which must do what it is told.
pub(crate) fn ip(words: &str) {
    let done = try_ip(words);
    assert!(done.status.success(), "ip {words}: {done:?}");
}
