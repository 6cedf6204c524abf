//! Real microVMs: boot, run programs, give memory back, stop.
#![allow(
    clippy::unwrap_used,
    reason = "clippy's leave for tests does not reach their helpers"
)]

mod support;

use std::time::{Duration, Instant};

use support::{PATIENCE, Sandbox, sh};
use vmshim::lock::Lock;
use vmshim::spec::STOP_GRACE;
use wire::exec::Exit;

#[tokio::test]
async fn boots_runs_a_program_and_stops_without_a_trace() {
    let mut sandbox = Sandbox::prepare();
    std::fs::write(sandbox.workspace.join("from-host"), "from the host\n").unwrap();
    let (client, status) = sandbox.start().await;
    println!("{status:?}");

    let work = sandbox.workspace.display().to_string();
    let script = format!(
        "set -e; cd '{work}'; cat from-host; id -un; hostname; echo $GREETING; ls /sys/class/net; \
         echo from the guest > from-guest; stat -c %U from-host; exit 7"
    );
    let (exit, output) = sh(&client, &script).await;
    assert_eq!(
        output,
        "from the host\nagent\ntest-host\nhello\nlo\nagent\n"
    );
    assert_eq!(exit, Exit::Code(7));
    let seen = std::fs::read_to_string(sandbox.workspace.join("from-guest")).unwrap();
    assert_eq!(seen, "from the guest\n");

    client.stop(STOP_GRACE).await.unwrap();
    assert!(!Lock::is_taken(&sandbox.spec.lock()));
    assert!(!sandbox.spec.runtime_dir.exists());
    assert_eq!(sandbox.wait(), (true, String::new()));
    sandbox.assert_no_process_left().await;
}

#[tokio::test]
async fn memory_that_nobody_inside_needs_is_the_hosts_again() {
    const MIB: u64 = 1 << 20;
    let mut sandbox = Sandbox::prepare();
    let (client, status) = sandbox.start().await;
    let vmm = status.vmm_pid.unwrap();
    let fill = |path: &str| format!("set -e; head -c {} /dev/zero > {path}; sync", 150 * MIB);

    // What a program frees. Pages are given back in blocks of 2 MiB, so not quite all of them.
    let (exit, output) = sh(&client, &fill("/dev/shm/filled")).await;
    assert_eq!(exit, Exit::Code(0), "{output}");
    let filled = guest_memory(vmm);
    assert!(filled > 150 * MIB, "{filled}");
    sh(&client, "rm /dev/shm/filled").await;
    let freed = until_below(vmm, filled - 100 * MIB).await;
    println!("{} MiB, freed {} MiB", filled / MIB, freed / MIB);

    // What the kernel keeps of files, once nobody has worked for a minute; the file stays.
    let (exit, output) = sh(&client, &fill("$HOME/written")).await;
    assert_eq!(exit, Exit::Code(0), "{output}");
    let cached = guest_memory(vmm);
    assert!(cached > freed + 100 * MIB, "{cached}");
    let rested = until_below(vmm, cached - 100 * MIB).await;
    println!("{} MiB, at rest {} MiB", cached / MIB, rested / MIB);
    let (_, output) = sh(&client, "wc -c < $HOME/written").await;
    assert_eq!(output, format!("{}\n", 150 * MIB));
}

/// Bytes of guest memory that the host holds for the VMM: the only memory that it shares.
fn guest_memory(vmm: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{vmm}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssShmem:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() << 10
}

/// Waits until less is held, and says how much.
async fn until_below(vmm: u32, wanted: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let held = guest_memory(vmm);
        if held < wanted {
            return held;
        }
        assert!(
            Instant::now() < deadline,
            "{held} bytes, not below {wanted}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
