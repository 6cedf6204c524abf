//! Killing a sandbox's processes: the next command works, the workspace and the log are whole.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::{Running, eventually};
use crate::origin::Origin;

#[test]
fn killed_processes_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let origin = Origin::serving(folder.path());
    let roots = origin.roots();
    let vm = Running::start("killed", &[("SSL_CERT_FILE", roots.to_str().unwrap())]);
    let port = origin.addr.port();
    vm.policy(&["--allow-host", &format!("localhost:{port}")]);
    let get = format!(
        "curl -sS --fail --noproxy '' -x http://host.docker.internal:3128 https://localhost:{port}/hello"
    );
    vm.ok_inside(&format!("echo whole > file; {get}"));

    // The proxy comes back by itself, with the same authority and policy; the VM lives on.
    let supervisor = process(&vm, "internal supervise");
    let machine = process(&vm, "qemu-system");
    let killed = kill(&vm, "internal proxy");
    eventually("the proxy comes back", || {
        find(&vm, "internal proxy").is_some_and(|pid| pid != killed)
            && vm.inside(&get).stdout == "hello\n"
    });
    assert_eq!(process(&vm, "qemu-system"), machine, "the VM lives on");
    assert_eq!(process(&vm, "internal supervise"), supervisor);

    // The VMM: everything of this sandbox ends, and the next command starts it again.
    kill(&vm, "qemu-system");
    gone(&vm);
    assert_eq!(vm.ok_inside(&format!("cat file; {get}")), "whole\nhello\n");

    // The supervisor: the same.
    kill(&vm, "internal supervise");
    gone(&vm);
    assert_eq!(vm.ok_inside(&format!("cat file; {get}")), "whole\nhello\n");

    // Every request that was answered is on record, once.
    let finished = vm
        .log()
        .lines()
        .filter(|line| line.ends_with("/hello allowed"))
        .count();
    assert_eq!(finished, origin.requests(), "{}", vm.log());
    assert_eq!(
        fs::read_to_string(vm.home.project().join("file")).unwrap(),
        "whole\n"
    );
}

/// Waits until no process of the sandbox is left.
fn gone(vm: &Running) {
    for part in [
        "internal supervise",
        "internal proxy",
        "internal helper",
        "qemu-system",
    ] {
        eventually(&format!("`{part}` ends"), || find(vm, part).is_none());
    }
}

fn kill(vm: &Running, part: &str) -> Pid {
    let pid = process(vm, part);
    kill_process(pid, Signal::KILL).unwrap();
    eventually(&format!("`{part}` is dead"), || {
        find(vm, part) != Some(pid) || test_kill_process(pid).is_err()
    });
    pid
}

fn process(vm: &Running, part: &str) -> Pid {
    find(vm, part).unwrap_or_else(|| panic!("no process `{part}` of this sandbox"))
}

/// The process of this sandbox whose command line holds `part`. It is told from other sandboxes'
/// by its environment: each test has a `HOME` of its own.
fn find(vm: &Running, part: &str) -> Option<Pid> {
    let home = format!("HOME={}\0", vm.home.path().display());
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let read = |file: &str| fs::read(Path::new("/proc").join(pid.to_string()).join(file)).ok();
        let command = String::from_utf8_lossy(&read("cmdline")?).replace('\0', " ");
        let environment = String::from_utf8_lossy(&read("environ")?).into_owned();
        let ours = command.contains(part) && environment.contains(&home);
        ours.then(|| Pid::from_raw(pid)).flatten()
    })
}
