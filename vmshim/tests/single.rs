//! What the server of one shared file can see, from outside of it. No VM is needed for that.
#![allow(
    clippy::unwrap_used,
    reason = "clippy's leave for tests does not reach their helpers"
)]

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use vmshim::helper::Role;
use vmshim::share::{Asker, Fence, ShareArgs};
use vmshim::spec::Caller;

/// Its folder is not in the server's world, and the one that is there can't be changed.
#[test]
fn the_server_of_a_file_finds_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
    fs::write(at("file-of-mine"), "x").unwrap();
    fs::write(at("neighbour"), "of no concern").unwrap();
    fs::create_dir(at("run")).unwrap();
    let role = Role::Share(ShareArgs {
        parent: i32::try_from(std::process::id()).unwrap(),
        dir: at("run"),
        file: Some(at("file-of-mine")),
        read_only: false,
        hide: Vec::new(),
        caller: Caller::current(),
        fence: Fence::Namespace,
        asker: Asker::Vmm,
    });
    let socket = UnixListener::bind(at("socket")).unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_vmshim-test-helper"))
        .arg(serde_json::to_string(&role).unwrap())
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 6];
    let ready = server.stdout.take().unwrap().read_exact(&mut said);
    assert!(ready.is_ok() && said == *b"ready\n");

    let pid = server.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let inner = children.trim();
    let seen = fs::read_dir(format!("/proc/{inner}/root")).unwrap();
    let seen: Vec<_> = seen.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(seen, ["file"]);
    let mounts = fs::read_to_string(format!("/proc/{inner}/mountinfo")).unwrap();
    let root = mounts.lines().find(|line| line.contains(" / / ")).unwrap();
    assert!(root.contains(" ro,"), "{mounts}");
    assert_eq!(mounts.lines().count(), 2, "{mounts}");
    // Our own view of the folder is as it was.
    assert_eq!(fs::read_dir(at("run")).unwrap().count(), 0);
    server.kill().unwrap();
    server.wait().unwrap();
}
