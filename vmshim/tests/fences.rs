//! What the processes around a guest can still do, read from the kernel's own account of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "clippy's leave for tests does not reach their helpers"
)]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use support::{Sandbox, processes_with, sh};
use vmshim::spec::Share;

fn field(pid: u32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

fn namespace(pid: &str, kind: &str) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()
}

/// Names of network devices that a process can see, from its own namespace.
fn network_devices(pid: u32) -> Vec<String> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    let names = table
        .lines()
        .skip(2)
        .filter_map(|line| line.split(':').next());
    names.map(|name| name.trim().to_owned()).collect()
}

#[tokio::test]
async fn vmm_and_folder_server_keep_nothing_they_do_not_need() {
    let mut sandbox = Sandbox::prepare();
    let (_client, status) = sandbox.start().await;
    let vmm = status.vmm_pid.unwrap();

    assert_eq!(field(vmm, "CapEff"), "0000000000000000");
    assert_eq!(field(vmm, "NoNewPrivs"), "1");
    assert_eq!(field(vmm, "Seccomp"), "2", "QEMU's own filter");
    let limits = std::fs::read_to_string(format!("/proc/{vmm}/limits")).unwrap();
    assert!(limits.lines().any(|line| {
        let mut words = line
            .strip_prefix("Max core file size")
            .into_iter()
            .flat_map(str::split_whitespace);
        words.next() == Some("0") && words.next() == Some("0")
    }));
    if namespaces_work() {
        assert_eq!(network_devices(vmm), ["lo"]);
        assert_ne!(namespace(&vmm.to_string(), "net"), namespace("self", "net"));
        assert_ne!(
            namespace(&vmm.to_string(), "user"),
            namespace("self", "user")
        );
    }
    let environment = std::fs::read(format!("/proc/{vmm}/environ")).unwrap();
    assert!(
        !String::from_utf8_lossy(&environment).contains("HOME="),
        "the caller's secrets"
    );

    let mut inner = 0;
    for pid in processes_with("\"share\"") {
        if !server_of(pid, &sandbox.spec.state_dir) || field(pid, "Seccomp") != "2" {
            continue; // another test's, or the one that only waits for the server
        }
        inner += 1;
        assert_eq!(field(pid, "NoNewPrivs"), "1");
        // As root: DAC_OVERRIDE (1), FOWNER (3), FSETID (4).
        let capabilities = u64::from_str_radix(&field(pid, "CapEff"), 16).unwrap();
        let root = rustix::process::geteuid().is_root();
        assert_eq!(capabilities, if root { 0b1_1010 } else { 0 });
        if namespaces_work() {
            let root = PathBuf::from(format!("/proc/{pid}/root"));
            assert!(!root.join("etc").exists() && !root.join("proc").exists());
            assert_eq!(network_devices(pid), ["lo"]);
        }
    }
    assert_eq!(inner, 1);
}

/// Each line is tried by root in the guest, in the shared folder; then the host is looked at.
const TRICKS: &str = r#"
ln -s /etc/hostname absolute && cat absolute > read-absolute
ln -s ../../../../../../etc/hostname relative && cat relative > read-relative
mknod block b 8 0
mknod char c 1 3
cp /bin/true borrowed; chown root:root borrowed; chmod 6755 borrowed
mkdir -m 2777 folder
mkfifo pipe
ln readme hard && echo changed >> hard
chmod 000 readme; chmod 600 readme
touch "$(printf 'new\nline')" 'ünïcode' -- -dash
mkdir deep; cd deep; for i in $(seq 60); do mkdir 0123456789012345678901234567890123456789 && cd 01*; done
true"#;

#[tokio::test]
async fn a_hostile_guest_stays_in_its_folder() {
    let mut sandbox = Sandbox::prepare();
    let folder = sandbox.workspace.clone();
    let readonly = sandbox.spec.state_dir.join("read only");
    std::fs::create_dir(&readonly).unwrap();
    std::fs::write(readonly.join("file"), "as it was").unwrap();
    std::fs::write(folder.join("readme"), "hello\n").unwrap();
    std::fs::write(sandbox.spec.state_dir.join("outside"), "secret").unwrap();
    sandbox.spec.shares.push(Share {
        host: readonly.clone(),
        file: false,
        guest: readonly.clone(),
        read_only: true,
        hide: Vec::new(),
    });
    let (client, _) = sandbox.start().await;

    let script = format!(
        "cd '{}' && sudo -n sh -c '{}'",
        folder.display(),
        TRICKS.replace('\'', "'\\''")
    );
    let (_, said) = sh(&client, &script).await;
    println!("{said}");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let mode = |name: &str| std::fs::symlink_metadata(folder.join(name)).unwrap().mode();
    assert_eq!(text("read-absolute"), text("read-relative"));
    assert_eq!(
        text("read-absolute"),
        "sandbox\n",
        "the guest's own file, not the host's"
    );
    assert!(!folder.join("block").exists() && !folder.join("char").exists());
    assert_eq!(
        mode("borrowed") & 0o7777,
        0o755,
        "no set-user-ID on the host"
    );
    assert_eq!(mode("folder") & 0o2000, 0);
    assert_eq!(text("readme"), "hello\nchanged\n");
    assert!(folder.join("new\nline").exists() && folder.join("ünïcode").exists());
    for name in ["borrowed", "readme", "pipe"] {
        let owner = std::fs::symlink_metadata(folder.join(name)).unwrap().uid();
        assert_eq!(owner, sandbox.spec.caller.uid, "{name}");
    }

    // A mount that says read-only is the guest's promise; the host does not rely on it.
    let script = format!(
        "cd '{}'; sudo mount -o remount,rw . ; sudo sh -c 'echo x > file; echo x > new; rm -f file; mkdir d; chmod 777 file'",
        readonly.display()
    );
    let (_, said) = sh(&client, &script).await;
    println!("{said}");
    assert_eq!(
        std::fs::read_to_string(readonly.join("file")).unwrap(),
        "as it was"
    );
    assert_eq!(std::fs::read_dir(&readonly).unwrap().count(), 1);
}

fn server_of(pid: u32, dir: &Path) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(dir.to_str().unwrap())
}

fn namespaces_work() -> bool {
    let made = std::process::Command::new("unshare")
        .args(["--user", "--net", "true"])
        .status();
    made.is_ok_and(|status| status.success())
}
