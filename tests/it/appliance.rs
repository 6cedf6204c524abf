//! `sandbox proxy` by itself, as people and systemd run it, and what `network log` makes of its log.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Home, limited};

/// An origin that answers every request on a connection of its own.
pub(crate) fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                        if (&stream).write_all(answer).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

/// The status of the answer to one request through the proxy; none if there is no whole answer.
fn status(proxy: SocketAddr, authority: &str) -> Option<u16> {
    status_as(proxy, authority, "")
}

/// The same with other fields in the head.
fn status_as(proxy: SocketAddr, authority: &str, fields: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(proxy).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    let request = format!(
        "GET http://{authority}/x HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{fields}\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// A proxy that is killed when the test is over.
pub(crate) struct Appliance {
    process: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Appliance {
    pub(crate) fn start(mut command: Command) -> (Self, SocketAddr) {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.split_whitespace().nth(2).unwrap();
        let address = address.parse().unwrap();
        (Self { process, said }, address)
    }

    /// Whether nobody and nothing has ended it.
    pub(crate) fn lives(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(mut self) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn policy(home: &Home, origin: SocketAddr) {
    let policy = format!(r#"{{"policy":"deny","network":{{"allowedDomains":["{origin}"]}}}}"#);
    fs::write(home.project().join("proxy-config.json"), policy).unwrap();
}

#[test]
fn the_log_is_filtered_counted_exported_and_followed() {
    let home = Home::new();
    let origin = origin();
    policy(&home, origin);
    let (appliance, proxy) = Appliance::start(home.proxy(&["--log", "proxy.jsonl"]));
    let authority = origin.to_string();
    for (host, expected) in [
        (&*authority, 200),
        ("evil.test", 403),
        ("evil.test", 403),
        ("b.evil.test:81", 403),
    ] {
        assert_eq!(status(proxy, host), Some(expected), "{host}");
    }
    let log =
        |flags: &[&str]| home.ok(&[&["network", "log", "--file", "proxy.jsonl"], flags].concat());
    let rows: [(&[&str], usize); 11] = [
        (&[], 4),
        (&["--verdict", "denied"], 3),
        (&["--verdict", "allowed"], 1),
        (&["--host", "evil.test"], 2),
        (&["--host", "*.evil.test"], 1),
        (&["--status", "4xx", "--method", "GET"], 3),
        (&["--method", "POST,PUT"], 0),
        (&["--rule", "allow 127"], 1),
        (&["--rule", "default"], 3),
        (&["--since", "1h", "--limit", "2"], 2),
        (&["--since", "2100-01-01T00:00:00Z"], 0),
    ];
    for (flags, expected) in rows {
        assert_eq!(log(flags).lines().count(), expected, "{flags:?}");
    }
    let summary = log(&["--summary"]);
    let first = summary.lines().nth(2).unwrap();
    assert!(
        summary.starts_with("Blocked requests:\nSANDBOX"),
        "{summary}"
    );
    assert!(
        first.contains("evil.test:80") && first.ends_with(" 2"),
        "{summary}"
    );
    let totals: serde_json::Value = serde_json::from_str(&log(&["--summary", "--json"])).unwrap();
    assert_eq!(
        (
            &totals["blocked"][0]["count"],
            &totals["allowed"][0]["host"]
        ),
        (&2.into(), &authority.clone().into())
    );
    let har: serde_json::Value = serde_json::from_str(&log(&["--har"])).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    assert_eq!(
        (entries.len(), &entries[0]["response"]["content"]["size"]),
        (4, &5.into())
    );
    assert_eq!(
        entries[0]["request"]["url"],
        format!("http://{authority}/x")
    );

    // As it happens, over a rotation by somebody else.
    let mut following = home.command(&[
        "network",
        "log",
        "--file",
        "proxy.jsonl",
        "--follow",
        "--json",
        "--verdict",
        "denied",
    ]);
    let mut following = following.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next =
        || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    for _ in 0..3 {
        assert_eq!(next()["action"], "denied");
    }
    assert_eq!(status(proxy, "new.test"), Some(403));
    assert_eq!(next()["target"], "new.test:80");
    let (old, moved) = (
        home.project().join("proxy.jsonl"),
        home.project().join("proxy.1"),
    );
    fs::rename(&old, &moved).unwrap();
    // The proxy looks once a second whether its log is still there.
    while !old.exists() {
        assert_eq!(status(proxy, "again.test"), Some(403));
        // Slowly: refusals beyond a thousand share lines, and the last one is to have its own.
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(status(proxy, "last.test"), Some(403));
    while next()["target"] != "last.test:80" {}
    following.kill().unwrap();
    following.wait().unwrap();
    appliance.end();
}

/// `--verify` over the files of a rotated log: whole, and with a line changed, removed and cut off in the older one.
#[test]
fn a_log_that_was_tampered_with_does_not_verify() {
    let home = Home::new();
    policy(&home, origin());
    let (appliance, proxy) = Appliance::start(home.proxy(&["--log", "proxy.jsonl"]));
    let file = |name: &str| home.project().join(name);
    for host in ["a.test", "b.test", "c.test"] {
        assert_eq!(status(proxy, host), Some(403));
    }
    fs::rename(file("proxy.jsonl"), file("proxy.1")).unwrap();
    // The proxy looks once a second whether its log is still there.
    while !file("proxy.jsonl").exists() {
        assert_eq!(status(proxy, "d.test"), Some(403));
    }
    appliance.end();
    let old = fs::read_to_string(file("proxy.1")).unwrap();
    let lines: Vec<&str> = old.lines().collect();
    let new = fs::read_to_string(file("proxy.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(new.lines().last().unwrap()).unwrap();
    let whole = lines.len() + new.lines().count();
    let end = last["chain"].as_str().unwrap().to_owned();

    let verified = |old: &str| {
        fs::write(file("proxy.1"), old).unwrap();
        let ran = home.run(&["network", "log", "--file", "proxy.jsonl", "--verify"]);
        assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
        (ran.code, ran.stdout)
    };
    let number = lines
        .iter()
        .position(|line| line.contains("b.test"))
        .unwrap();
    let without: Vec<&str> = [&lines[..number], &lines[number + 1..]].concat();
    let rows = [
        (
            old.clone(),
            0,
            format!("the chain holds over {whole} lines from 20"),
        ),
        (old.clone(), 0, format!("and ends in {end}")),
        (
            old.replace("b.test", "x.test"),
            1,
            format!("is broken: line {} of `proxy.1`", number + 1),
        ),
        (
            without.join("\n") + "\n",
            1,
            format!("is broken: line {} of `proxy.1`", number + 1),
        ),
        (
            lines[..lines.len() - 1].join("\n") + "\n",
            1,
            "is broken: line 1 of `proxy.jsonl`".to_owned(),
        ),
        // What was rotated away is not missed: the first line there is is taken as it is.
        (String::new(), 0, format!("and ends in {end}")),
    ];
    for (old, code, says) in rows {
        let (found, said) = verified(&old);
        assert_eq!(found, code, "{said}");
        assert!(said.contains(&says), "{said} does not say {says}");
    }
    let none = home.run(&["network", "log", "--file", "none.jsonl", "--verify"]);
    assert_eq!((none.code, none.stdout.as_str()), (1, ""), "{none:?}");
}

/// A proxy that systemd (here: a shell) hands its socket to is replaced under load without a failed request.
#[test]
fn a_restart_drops_no_request() {
    let home = Home::new();
    let origin = origin();
    policy(&home, origin);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let start = |name: &str| {
        let mut shell = Command::new("sh");
        // By way of standard input: a shell's redirections know descriptors of one digit only.
        let passing = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
        let sandbox = home.command(&["proxy", "--config", "proxy-config.json", "--ca-dir", name]);
        shell
            .args(["-c", passing, "sh"])
            .arg(sandbox.get_program())
            .args(sandbox.get_args());
        for (key, value) in sandbox.get_envs() {
            shell.env(key, value.unwrap());
        }
        let socket = OwnedFd::from(listener.try_clone().unwrap());
        shell.current_dir(home.project()).stdin(socket);
        let (appliance, listening) = Appliance::start(shell);
        assert_eq!(listening, address);
        appliance
    };
    let mut running = start("ca");
    let (done, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (done, answered) = (done.clone(), answered.clone());
            std::thread::spawn(move || {
                let mut failed = 0;
                while !done.load(Ordering::Relaxed) {
                    match status(address, &origin.to_string()) {
                        Some(200) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        _ => failed += 1,
                    }
                }
                failed
            })
        })
        .collect();
    for _ in 0..3 {
        let before = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < before + 20 {
            std::thread::yield_now();
        }
        let next = start("ca");
        std::mem::replace(&mut running, next).end();
    }
    done.store(true, Ordering::Relaxed);
    let failed: usize = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .sum();
    assert_eq!(failed, 0, "of {}", answered.load(Ordering::Relaxed));
}

/// Counters and health are there when they are asked for.
#[test]
fn metrics_are_served_where_asked() {
    let home = Home::new();
    let origin = origin();
    policy(&home, origin);
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let metrics = free.to_string();
    let (appliance, proxy) = Appliance::start(home.proxy(&["--metrics", &metrics]));
    assert_eq!(status(proxy, &origin.to_string()), Some(200));
    for (path, expected) in [
        ("/metrics", "sandbox_proxy_allowed_total 1\n"),
        ("/health", "ok\n"),
    ] {
        let mut stream = TcpStream::connect(free).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(expected), "{answer}");
    }
    appliance.end();
}

/// Keys and credentials are in its memory: a proxy that crashes leaves no core file, however many its user may have.
#[test]
fn a_crash_leaves_no_core_file() {
    let home = Home::new();
    policy(&home, origin());
    let (mut appliance, _) = Appliance::start(home.proxy(&[]));
    let pid = appliance.process.id();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file"));
    let sizes: Vec<_> = core.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(sizes, ["0", "0"]);
    // Where cores are piped to a program the limit does not count (core(5)): nor does that program get one.
    kill_process(Pid::from_child(&appliance.process), Signal::ABORT).unwrap();
    let ended = appliance.process.wait().unwrap();
    assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()));
    assert!(!ended.core_dumped());
}

/// A directory of policies: a password is made, its client is under its policy, systemd is told of all, a SIGHUP makes
/// the proxy look, and it opens as many files as it may.
#[test]
fn clients_are_known_and_systemd_is_told() {
    let home = Home::new();
    let origin = origin();
    let policies = home.project().join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("team.policy"), "default deny\n").unwrap();
    let adding = [
        "proxy",
        "add-client",
        "alice",
        "--clients",
        "clients",
        "--policy",
        "team",
    ];
    let password = home.ok(&adding);
    let listening = UnixDatagram::bind(home.project().join("notify")).unwrap();
    listening
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let told = || {
        let mut message = [0; 256];
        let length = listening.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let proxy = home.command(&[
        "proxy",
        "--config-dir",
        "policies",
        "--clients",
        "clients",
        "--listen",
        "127.0.0.1:0",
    ]);
    let mut shell = limited("-S -n 256", &proxy);
    shell.env("NOTIFY_SOCKET", home.project().join("notify"));
    let (appliance, address) = Appliance::start(shell);
    assert_eq!(told().trim(), "READY=1");
    let pid = appliance.process.id();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut files = files.unwrap().split_whitespace().skip(3);
    assert_eq!(files.next(), files.next(), "{limits}");

    let pair = STANDARD.encode(format!("alice:{}", password.trim()));
    let alice = format!("Proxy-Authorization: Basic {pair}\r\n");
    let authority = origin.to_string();
    assert_eq!(status_as(address, &authority, ""), Some(407));
    assert_eq!(status_as(address, &authority, &alice), Some(403));
    fs::write(
        policies.join("team.policy"),
        format!("default deny\nallow {authority}\n"),
    )
    .unwrap();
    kill_process(Pid::from_child(&appliance.process), Signal::HUP).unwrap();
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told().trim(), "READY=1");
    assert_eq!(status_as(address, &authority, &alice), Some(200));
    appliance.end();
    assert_eq!(told().trim(), "STOPPING=1");
}

/// What a directory of policies needs is asked for in words.
#[test]
fn an_appliance_says_what_it_lacks() {
    let home = Home::new();
    fs::create_dir(home.project().join("policies")).unwrap();
    fs::write(home.project().join("clients"), "").unwrap();
    fs::set_permissions(
        home.project().join("clients"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let dir = ["proxy", "--config-dir", "policies", "--listen"];
    let rows: [(&[&str], &str); 4] = [
        (&["127.0.0.1:0"], "no clients are known"),
        (&["127.0.0.1:0=ci"], "there is no `ci.policy` or `ci.json`"),
        (&["127.0.0.1:0", "--clients", "clients"], "open to others"),
        (&["127.0.0.1:0=../x"], "is no name"),
    ];
    for (rest, expected) in rows {
        let output = home.command(&[&dir[..], rest].concat()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(expected),
            "{rest:?}: {said}"
        );
    }
}
