//! `--mount-docker-socket` with a real daemon.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Running, eventually};
use crate::support::Home;

/// A Docker daemon of the test's own, without networks.
struct Daemon {
    process: Child,
    socket: String,
}

impl Daemon {
    fn start(dir: &Path) -> Self {
        let at = |name: &str| dir.join(name).display().to_string();
        let socket = at("docker.sock");
        let process = Command::new("/usr/sbin/dockerd")
            .args(["--host", &format!("unix://{socket}")])
            .args(["--data-root", &at("data"), "--exec-root", &at("exec")])
            .args(["--pidfile", &at("pid"), "--storage-driver=vfs"])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("install it with `apt-get install docker.io`");
        let daemon = Self { process, socket };
        eventually("the daemon listens", || {
            std::os::unix::net::UnixStream::connect(&daemon.socket).is_ok()
        });
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        // It has a process of its own, containerd, to end.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}

/// The daemon answers inside, and it is the host's; nothing else of the host's network is there.
#[test]
fn the_hosts_docker_daemon_answers_inside_where_that_was_asked_for() {
    if !rustix::process::geteuid().is_root() {
        return; // only root starts this daemon
    }
    let dir = tempfile::Builder::new().prefix("dk-").tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let host = format!("unix://{}", daemon.socket);
    let made = Command::new("docker")
        .args(["--host", &host, "volume", "create", "made-outside"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");

    let vm = Running::adopt(Home::new(), "socket", &[("DOCKER_HOST", host.as_str())]);
    let create = "create --name socket --isolation container --mount-docker-socket shell .";
    vm.ok(&create.split(' ').collect::<Vec<_>>());
    vm.ok(&["run", "--detached", "socket"]);
    let ask = "curl -sS --fail --max-time 60 --unix-socket /var/run/docker.sock http://docker";
    let volumes = vm.ok_inside(&format!("{ask}/volumes"));
    assert!(volumes.contains("made-outside"), "{volumes}");
    vm.ok_inside(&format!(
        "{ask}/volumes/create -H 'Content-Type: application/json' -d '{{\"Name\":\"made-inside\"}}'"
    ));
    let listed = Command::new("docker")
        .args(["--host", &host, "volume", "ls", "-q"])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed, "made-inside\nmade-outside\n");
    assert_eq!(vm.ok_inside("ls /sys/class/net").trim(), "lo");
}
