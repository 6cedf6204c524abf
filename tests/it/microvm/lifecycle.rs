//! A sandbox from `create` to `rm`: what is inside, what gets out, what stays.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use super::{Running, eventually};
use crate::origin::Origin;
use crate::support::{Home, Ran};

#[test]
fn a_sandbox_from_creation_to_removal() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello from outside\n").unwrap();
    let origin = Origin::serving(folder.path());
    let roots = origin.roots();
    let vm = Running::start("life", &[("SSL_CERT_FILE", roots.to_str().unwrap())]);

    // Root inside is still the caller outside.
    let by_root = workspace(&vm);
    assert_eq!(by_root, fs::metadata(vm.home.path()).unwrap().uid());
    watching(&vm);
    commands(&vm);
    no_way_around(&vm);
    policy(&vm, &origin);
    stopping_and_starting(&vm);
    removal(&vm);
}

/// The same commands and promises, in a container.
#[test]
fn a_container_from_creation_to_removal() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello from outside\n").unwrap();
    let origin = Origin::serving(folder.path());
    let roots = origin.roots();
    let env = [("SSL_CERT_FILE", roots.to_str().unwrap())];
    let file = format!("{}/hello:/srv/etc/hello:ro", folder.path().display());
    let vm = Running::start_with("life", &env, &["--isolation", "container", "-v", &file]);

    // Root inside is nobody outside.
    let by_root = workspace(&vm);
    assert!(by_root >= 100_000, "{by_root}");
    contained(&vm);
    capped(&vm);
    one_file(&vm);
    watching(&vm);
    commands(&vm);
    no_way_around(&vm);
    policy(&vm, &origin);
    stopping_and_starting(&vm);
    removal(&vm);
}

/// The other runtime makes the same walls of the same description.
#[test]
fn a_container_by_crun_is_as_closed() {
    if is_hybrid() && !rustix::process::geteuid().is_root() {
        println!("left out: with both versions of control groups crun 1.8 takes root to hide one");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello from outside\n").unwrap();
    let file = format!("{}/hello:/srv/etc/hello:ro", folder.path().display());
    let vm = Running::adopt(Home::new(), "life", &[("SANDBOX_RUNTIME", "crun")]);
    let create = ["create", "--name", "life", "--isolation", "container"];
    vm.ok(&[&create[..], &["-v", &file, "shell", "."]].concat());
    vm.policy(&["--policy", "deny"]);
    start_without_hybrid(&vm);
    let runtime = format!("/proc/{}/comm", inspected(&vm)["vm"]["vmm_pid"]);
    assert!(fs::read_to_string(runtime).unwrap().contains("crun"));
    assert!(workspace(&vm) >= 100_000);
    contained(&vm);
    capped(&vm);
    one_file(&vm);
    no_way_around(&vm);
    removal(&vm);
}

/// crun 1.8 runs on no machine that has both versions of control groups; here the second is out of its sight.
fn start_without_hybrid(vm: &Running) {
    let start = vm.command(&["run", "--detached", vm.name]);
    let script = "umount -l /sys/fs/cgroup/unified; exec \"$0\" \"$@\"";
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script]);
    unshare.arg(start.get_program()).args(start.get_args());
    unshare.env_clear();
    unshare.envs(
        start
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    let mut start = if is_hybrid() { unshare } else { start };
    let ran = Ran::from(start.output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
}

fn is_hybrid() -> bool {
    std::path::Path::new("/sys/fs/cgroup/unified").exists()
}

fn inspected(vm: &Running) -> serde_json::Value {
    let all: serde_json::Value = serde_json::from_str(&vm.ok(&["inspect", vm.name])).unwrap();
    all[0].clone()
}

/// The container has the caps that it was made with, or says why not.
fn capped(vm: &Running) {
    let told = inspected(vm);
    let notes = told["vm"]["notes"].to_string();
    let pid = &told["vm"]["vmm_pid"];
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = own.filter(|group| group.contains("sandbox-"));
    match own.map(|group| std::path::Path::new("/sys/fs/cgroup").join(group)) {
        Some(group) => {
            let memory = told["memory_mib"].as_u64().unwrap() << 20;
            let set = fs::read_to_string(group.join("memory.max")).unwrap();
            assert_eq!(set.trim(), memory.to_string());
        }
        None => assert!(notes.contains("have no caps"), "{notes}"),
    }
}

/// A file of the host alone, to be read.
fn one_file(vm: &Running) {
    let seen = vm.ok_inside("cd /srv/etc && ls -A && cat hello");
    assert_eq!(seen, "hello\nhello from outside\n");
    for script in ["echo x > /srv/etc/hello", "sudo rm /srv/etc/hello"] {
        assert_ne!(vm.inside(script).code, 0, "{script}");
    }
}

/// What a container's root may not do to the kernel that it shares.
fn contained(vm: &Running) {
    for script in [
        "sudo sh -c 'echo x > /proc/sys/kernel/core_pattern'",
        "sudo sh -c 'echo b > /proc/sysrq-trigger'",
        "sudo unshare --user true",
        "unshare --user --map-root-user true",
        "sudo mount -t tmpfs none /mnt",
        "sudo umount /proc/sys",
        "sudo mknod /tmp/disk b 8 0",
        "sudo chroot /proc/1/root true && sudo ls /proc/1/root/.docker",
        "sudo sh -c 'echo 0 > /sys/kernel/mm/ksm/run'",
        "cat /proc/kcore | head -c 1 | grep -q .",
        "sudo date -s 2001-01-01",
        "sudo hostname elsewhere",
        "sudo dmesg",
    ] {
        assert_ne!(vm.inside(script).code, 0, "{script}");
    }
    let seen = vm
        .ok_inside("ls -1 /proc | grep -c '^[0-9]*$'; grep -c . /proc/1/uid_map; cat /proc/1/comm");
    assert!(!seen.contains("systemd"), "the host's processes: {seen}");
    let filter = vm.ok_inside("grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status");
    assert!(filter.contains("Seccomp:\t2"), "{filter}");
}

/// The workspace is at its own path, and what either side writes belongs to the caller outside and
/// to the agent inside. Returns whose a file of the guest's root is.
fn workspace(vm: &Running) -> u32 {
    let project = vm.home.project().canonicalize().unwrap();
    let project = project.to_str().unwrap();
    assert_eq!(vm.ok_inside("pwd").trim(), project);

    vm.ok_inside("echo from inside > inside.txt && chmod 750 inside.txt && ln -s inside.txt link");
    let written = vm.home.project().join("inside.txt");
    let meta = fs::metadata(&written).unwrap();
    let ours = fs::metadata(vm.home.path()).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (ours.uid(), ours.gid()));
    assert_eq!(meta.mode() & 0o777, 0o750);
    assert_eq!(fs::read_to_string(&written).unwrap(), "from inside\n");
    let link = fs::read_link(vm.home.project().join("link")).unwrap();
    assert_eq!(link.to_str(), Some("inside.txt"));

    fs::write(vm.home.project().join("outside.txt"), "from outside\n").unwrap();
    assert_eq!(vm.ok_inside("cat outside.txt"), "from outside\n");
    assert_eq!(vm.ok_inside("stat -c %U outside.txt").trim(), "agent");

    // A symbolic link leads nowhere outside of the folder.
    std::os::unix::fs::symlink(vm.home.path(), vm.home.project().join("out")).unwrap();
    fs::write(vm.home.path().join("secret"), "secret").unwrap();
    assert_ne!(vm.inside("cat out/secret").code, 0);

    vm.ok_inside("chmod 777 . && sudo touch by-root");
    let by_root = fs::metadata(vm.home.project().join("by-root")).unwrap();
    by_root.uid()
}

/// Waits for a file called `edited` by inotify(7). Says `ready` when it does.
const WATCH: &str = r#"
import ctypes, os
libc = ctypes.CDLL(None)
notify = libc.inotify_init()
libc.inotify_add_watch(notify, b".", 0x100)
open("ready", "w").close()
while b"edited" not in os.read(notify, 4096):
    pass
"#;

/// A program inside hears of what is written outside.
fn watching(vm: &Running) {
    let waiting = vm.command(&["exec", vm.name, "timeout", "100", "python3", "-c", WATCH]);
    let waiting = { waiting }.stderr(Stdio::piped()).spawn().unwrap();
    let ready = vm.home.project().join("ready");
    eventually("the program watches", || ready.exists());
    fs::write(vm.home.project().join("edited"), "by the host\n").unwrap();
    let heard = Ran::from(waiting.wait_with_output().unwrap());
    assert_eq!(heard.code, 0, "{heard:?}");
}

/// `exec`: output, input, exit codes, users, environment, terminal.
fn commands(vm: &Running) {
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137)] {
        assert_eq!(vm.inside(script).code, code, "{script}");
    }
    let both = vm.inside("echo out; echo err >&2");
    assert_eq!(
        (both.stdout.as_str(), both.stderr.as_str()),
        ("out\n", "err\n")
    );

    for (command, code) in [("/no/such/program", 127), ("/etc/passwd", 126)] {
        let ran = Ran::from(vm.command(&["exec", vm.name, command]).output().unwrap());
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains(command), "{ran:?}");
    }

    let mut cat = vm.command(&["exec", "-i", vm.name, "sha256sum"]);
    let mut cat = cat
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    cat.stdin.take().unwrap().write_all(&[7; 300_000]).unwrap();
    let summed = Ran::from(cat.wait_with_output().unwrap());
    // SHA-256 of 300,000 bytes of the value 7.
    let expected = "08f166476de183f7a1b2874d544d37912aaf8d19b92013e1aafe233ba231024a";
    assert_eq!(
        summed.stdout.split(' ').next(),
        Some(expected),
        "{summed:?}"
    );

    let printed = vm.ok(&[
        "exec",
        "-e",
        "COLOUR=green",
        "-u",
        "root",
        "-w",
        "/tmp",
        vm.name,
        "sh",
        "-c",
        "id -un; pwd; echo $COLOUR",
    ]);
    assert_eq!(printed, "root\n/tmp\ngreen\n");
    assert_eq!(
        vm.ok_inside("id -un; id -u; echo $HOME"),
        "agent\n1000\n/home/agent\n"
    );

    // A terminal of the size of the caller's.
    let exec = format!("exec -it {} sh -c 'tty; stty size'", vm.name);
    let (code, shown) = at_a_terminal(vm, &exec, None);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("/dev/pts/"), "{shown}");
    assert!(shown.contains("33 101"), "{shown}");

    // One that is left, while its command goes on.
    let script = "'echo ready; while [ ! -e go ]; do sleep 0.1; done; touch gone-on'";
    let exec = format!("exec -it --detach-keys x,y {} sh -c {script}", vm.name);
    let (code, shown) = at_a_terminal(vm, &exec, Some(("ready", "xy")));
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("runs on by itself"), "{shown}");
    fs::write(vm.home.project().join("go"), "").unwrap();
    let gone_on = vm.home.project().join("gone-on");
    eventually("the command goes on", || gone_on.exists());
}

/// `sandbox EXEC` in a terminal of 33 by 101, in which somebody types something once it shows something. Returns its
/// exit code and what it showed.
fn at_a_terminal(vm: &Running, exec: &str, typed: Option<(&str, &str)>) -> (i32, String) {
    let sandbox = env!("CARGO_BIN_EXE_sandbox");
    let line = format!("stty rows 33 cols 101; exec timeout 100 {sandbox} {exec}");
    let mut script = std::process::Command::new("script");
    script
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .current_dir(vm.home.project());
    for (key, value) in vm.command(&[]).get_envs() {
        script.env(key, value.unwrap());
    }
    let mut script = script.spawn().unwrap();
    let mut keyboard = script.stdin.take().unwrap();
    let mut screen = script.stdout.take().unwrap();
    let (mut shown, mut byte) = (Vec::new(), [0]);
    while screen.read(&mut byte).unwrap() > 0 {
        shown.extend(byte);
        if let Some((sign, keys)) = typed
            && shown.ends_with(sign.as_bytes())
        {
            keyboard.write_all(keys.as_bytes()).unwrap();
        }
    }
    let code = script.wait().unwrap().code().unwrap();
    (code, String::from_utf8_lossy(&shown).into_owned())
}

/// With the proxy's variables or without, there is one way out and it is filtered.
fn no_way_around(vm: &Running) {
    assert_eq!(vm.ok_inside("ls /sys/class/net").trim(), "lo");
    // A service on the host's loopback: the guest must not find it.
    let bait = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = bait.local_addr().unwrap().port();
    bait.set_nonblocking(true).unwrap();
    for script in [
        "curl -sS --max-time 5 --noproxy '*' http://192.0.2.1/".to_owned(),
        "timeout 5 bash -c 'echo x > /dev/udp/192.0.2.1/53'".to_owned(),
        "curl -sS --max-time 5 --noproxy '*' --fail http://example.com/".to_owned(),
        format!("curl -sS --max-time 5 --fail --noproxy '*' http://host.docker.internal:{port}/"),
        "curl -sS --max-time 5 --noproxy '*' http://169.254.169.254/".to_owned(),
        "curl -sS --max-time 5 --fail http://169.254.169.254/".to_owned(),
        format!("curl -sS --max-time 5 --noproxy '*' http://127.0.0.1:{port}/"),
        format!("curl -sS --max-time 5 --fail http://host.docker.internal:{port}/"),
        format!(
            "curl -sS --max-time 5 --fail --noproxy '' -x http://host.docker.internal:3128 http://127.0.0.1:{port}/"
        ),
        format!(
            "curl -sS --max-time 5 -p --noproxy '' -x http://host.docker.internal:3128 http://localhost:{port}/"
        ),
    ] {
        assert_ne!(vm.inside(&script).code, 0, "{script}");
        let caught = bait.accept().unwrap_err();
        assert_eq!(caught.kind(), std::io::ErrorKind::WouldBlock, "{script}");
    }
}

/// Allowed, denied and changed, through interception.
fn policy(vm: &Running, origin: &Origin) {
    let port = origin.addr.port();
    let get = format!("curl -sS --fail-with-body https://localhost:{port}/hello");
    // `localhost` is the guest's own unless the proxy is asked for it.
    let get = format!("{get} --noproxy '' -x http://host.docker.internal:3128");

    let denied = vm.inside(&get);
    assert_ne!(denied.code, 0, "{denied:?}");
    assert_eq!(origin.requests(), 0);
    let page = vm.inside(&format!(
        "curl -sS -i --noproxy '' -x http://host.docker.internal:3128 http://localhost:{port}/"
    ));
    assert!(page.stdout.starts_with("HTTP/1.1 403"), "{page:?}");
    assert!(page.stdout.contains("x-sandbox-reason: "), "{page:?}");
    let advice = format!("sandbox network proxy life --allow-host localhost:{port}");
    assert!(page.stdout.contains(&advice), "{page:?}");

    vm.policy(&["--allow-host", &format!("localhost:{port}")]);
    assert_eq!(vm.ok_inside(&get), "hello from outside\n");
    assert_eq!(origin.requests(), 1);
    let issuer = vm.ok_inside(&format!("{get} -v 2>&1 >/dev/null | grep -i issuer"));
    assert!(issuer.contains("Sandbox Proxy CA"), "{issuer}");

    vm.policy(&["--remove-host", &format!("localhost:{port}")]);
    assert_ne!(vm.inside(&get).code, 0);
    assert_eq!(origin.requests(), 2);

    let log = vm.log();
    let url = format!("https://localhost:{port}/hello");
    assert!(
        log.lines()
            .any(|line| line.ends_with(&format!("GET {url} allowed"))),
        "{log}"
    );
    assert!(
        log.lines()
            .any(|line| line.contains("sandbox=life") && line.ends_with("denied")),
        "{log}"
    );
}

/// What was installed and the policy outlive a restart.
fn stopping_and_starting(vm: &Running) {
    vm.ok_inside("sudo sh -c 'echo kept > /opt/kept'; echo mine > ~/mine");
    let before = vm.ok(&["network", "proxy", vm.name]);
    assert_eq!(vm.ok(&["stop", vm.name]).trim(), vm.name);
    assert!(vm.ok(&["ls"]).contains("stopped"));
    // `exec` starts what is stopped.
    assert_eq!(vm.ok_inside("cat /opt/kept ~/mine"), "kept\nmine\n");
    assert!(vm.ok(&["ls"]).contains("running"));
    assert_eq!(vm.ok(&["network", "proxy", vm.name]), before);
    let inspected = vm.ok(&["inspect", vm.name]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected[0]["status"], "running");
    assert_eq!(inspected[0]["name"], vm.name);
}

fn removal(vm: &Running) {
    assert_eq!(vm.ok(&["rm", vm.name]).trim(), vm.name);
    assert!(!vm.home.sandbox_dir(vm.name).exists());
    assert_eq!(vm.ok(&["ls", "-q"]), "");
    let kept = fs::read_to_string(vm.home.project().join("inside.txt")).unwrap();
    assert_eq!(kept, "from inside\n", "the workspace stays");
}
