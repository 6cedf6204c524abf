//! Killing a sandbox's processes: the next command works, the workspace and the log are whole.

use std::fs;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::{Running, eventually};
use crate::origin::Origin;
use crate::support;

#[test]
fn killed_processes_lose_nothing() {
    lose_nothing(&[]);
}

#[test]
fn killed_processes_of_a_container_lose_nothing() {
    lose_nothing(&["--isolation", "container"]);
}

fn lose_nothing(flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello\n").unwrap();
    let origin = Origin::serving(folder.path());
    let roots = origin.roots();
    let env = [("SSL_CERT_FILE", roots.to_str().unwrap())];
    let vm = Running::start_with("killed", &env, flags);
    let port = origin.addr.port();
    vm.policy(&["--allow-host", &format!("localhost:{port}")]);
    let get = format!(
        "curl -sS --fail --noproxy '' -x http://host.docker.internal:3128 https://localhost:{port}/hello"
    );
    vm.ok_inside(&format!("echo whole > file; {get}"));

    // The proxy comes back by itself, with the same authority and policy; the VM lives on.
    let before = Processes::of(&vm);
    kill(before.proxy);
    eventually("the proxy comes back", || {
        Processes::ask(&vm).is_some_and(|now| now.proxy != before.proxy)
    });
    eventually("requests work again", || {
        vm.inside(&get).stdout == "hello\n"
    });
    let after = Processes::of(&vm);
    assert_eq!(after.machine, before.machine, "the VM lives on");
    assert_eq!(after.supervisor, before.supervisor);

    // The VMM, then the supervisor, and again: everything of this sandbox ends, and the next command starts it.
    let victims: [fn(&Processes) -> Pid; 2] = [|all| all.machine, |all| all.supervisor];
    for victim in victims.iter().cycle().take(support::kills(victims.len())) {
        let all = Processes::of(&vm);
        kill(victim(&all));
        for pid in [all.supervisor, all.machine, all.proxy] {
            eventually("every process ends", || test_kill_process(pid).is_err());
        }
        assert_eq!(vm.ok_inside(&format!("cat file; {get}")), "whole\nhello\n");
    }

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

/// The processes of a running sandbox, as `inspect` tells them.
#[derive(Debug, Clone, Copy)]
struct Processes {
    supervisor: Pid,
    machine: Pid,
    proxy: Pid,
}

impl Processes {
    fn of(vm: &Running) -> Self {
        Self::ask(vm).expect("the sandbox runs")
    }

    /// `None` while one of them is missing.
    fn ask(vm: &Running) -> Option<Self> {
        let told: serde_json::Value = serde_json::from_str(&vm.ok(&["inspect", vm.name])).ok()?;
        let pid = |pointer: &str| {
            let pid = told.pointer(pointer)?.as_i64()?;
            Pid::from_raw(pid.try_into().ok()?)
        };
        Some(Self {
            supervisor: pid("/0/vm/pid")?,
            machine: pid("/0/vm/vmm_pid")?,
            proxy: pid("/0/policy/pid")?,
        })
    }
}

fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).unwrap();
}
