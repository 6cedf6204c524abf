//! A network of a test's own, in which the test is root: addresses, routes, limits and mounts that nobody else sees.

use std::process::Command;

/// Set in the process that has one.
const INSIDE: &str = "PROXY_TEST_NETWORK";

/// Whether this process is the one with a network of its own; its loopback is up then.
///
/// Anywhere else `test` is run once more in a process that has one, and must pass there. Where no network can be made,
/// the reason is printed.
#[expect(clippy::print_stdout, reason = "a test says why it was left out")]
pub(crate) fn is_own(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        ip("link set lo up");
        return true;
    }
    // A chroot has no user namespaces to give, and root needs none.
    let ways: &[&[&str]] = match rustix::process::geteuid().is_root() {
        true => &[
            &["--net", "--mount"],
            &["--user", "--map-root-user", "--net", "--mount"],
        ],
        false => &[&["--user", "--map-root-user", "--net", "--mount"]],
    };
    let mut reasons = Vec::new();
    for flags in ways {
        match again(test, flags) {
            Ok(said) => {
                println!("{said}");
                return false;
            }
            Err(reason) => reasons.push(reason),
        }
    }
    println!("left out: no network of its own can be made here: {reasons:?}");
    false
}

/// What the test said where it has a network of its own, or why it has none.
fn again(test: &str, flags: &[&str]) -> Result<String, String> {
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

/// Runs `ip` (iproute2) and tells whether it did what it was told.
pub(crate) fn try_ip(words: &str) -> bool {
    let done = Command::new("ip").args(words.split(' ')).output().unwrap();
    done.status.success()
}

pub(crate) fn ip(words: &str) {
    assert!(try_ip(words), "ip {words}");
}
