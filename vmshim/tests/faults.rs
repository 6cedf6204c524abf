//! Real microVMs whose parts are killed, and what is left of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "clippy's leave for tests does not reach their helpers"
)]

mod support;

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{PROXY, Sandbox, sh, try_sh};
use vmshim::attach::AttachError;
use vmshim::client::Client;
use vmshim::lock::Lock;
use vmshim::status::State;
use wire::exec::Exit;

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// The process that runs this command line, once there is one.
async fn process(command: &str) -> u32 {
    let began = Instant::now();
    loop {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).replace('\0', " ").trim() == command {
                return entry.file_name().to_str().unwrap().parse().unwrap();
            }
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "no process `{command}`"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Kills the parts of one sandbox after each other, so that only three boots are paid for.
#[tokio::test]
async fn every_part_may_be_killed() {
    let mut sandbox = Sandbox::prepare();
    let tag = std::process::id().to_string();
    sandbox.spec.proxy_command.push(tag.clone().into());
    let proxy = format!("sh -c {PROXY} {tag}");

    // The proxy comes back by itself, and the guest does not notice.
    let (client, _) = sandbox.start().await;
    let first = process(&proxy).await;
    let killed = Instant::now();
    kill(first);
    while process(&proxy).await == first {}
    assert!(
        killed.elapsed() < Duration::from_secs(1),
        "{:?}",
        killed.elapsed()
    );
    let write = format!(
        "cd '{}' && echo kept > file && sync",
        sandbox.workspace.display()
    );
    assert_eq!(sh(&client, &write).await, (Exit::Code(0), String::new()));
    assert_eq!(
        sh(&client, "echo kept > ~/file; sync").await.0,
        Exit::Code(0)
    );

    // A second supervisor for the same sandbox is refused and disturbs nothing.
    let mut second = sandbox.rival();
    let (success, said) = second.wait();
    assert!(!success && said.contains("already running"), "{said}");
    assert_eq!(client.status().await.unwrap().state, State::Ready);

    // With the supervisor dies all that it started.
    sandbox.kill_supervisor();
    sandbox.assert_no_process_left().await;
    assert!(!Lock::is_taken(&sandbox.spec.lock()));
    assert!(
        sandbox.spec.runtime_dir.exists(),
        "nobody was left to remove it"
    );

    // The next start clears that up, and what was synced is there.
    let (client, status) = sandbox.start().await;
    let seen = sh(
        &client,
        &format!("cat ~/file '{}/file'", sandbox.workspace.display()),
    )
    .await;
    assert_eq!(seen, (Exit::Code(0), "kept\nkept\n".to_owned()));

    // The VMM's death is the sandbox's, and nothing stays.
    kill(status.vmm_pid.unwrap());
    let (success, said) = sandbox.wait();
    assert!(
        !success && said.contains("the virtual machine ended unexpectedly"),
        "{said}"
    );
    sandbox.assert_no_process_left().await;
    assert!(!sandbox.spec.runtime_dir.exists());
    assert!(matches!(
        Client::connect(&sandbox.spec.runtime_dir).await,
        Err(vmshim::client::Error::NotRunning)
    ));
    assert_eq!(
        std::fs::read_to_string(sandbox.workspace.join("file")).unwrap(),
        "kept\n"
    );

    // A guest that powers itself off ends its sandbox in good order.
    let (client, _) = sandbox.start().await;
    let off = try_sh(
        &client,
        "sync; echo o | sudo tee /proc/sysrq-trigger; sleep 100",
    )
    .await;
    assert!(matches!(off, Err(AttachError::Gone)), "{off:?}");
    assert_eq!(sandbox.wait(), (true, String::new()));
}
