//! Many policies in one process: a directory of them, a listener or a client for each.

mod apart;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proxy::appliance::{self, Appliance, Door, Name, Plan};
use proxy::{Options, audit};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::client::{self, Answer};
use crate::support::dns::Dns;
use crate::support::origin::ok;
use crate::support::pki::Pki;
use crate::support::{Canary, Reply, Tunnel, soon};

/// An appliance with one door for clients and one for the policy `ci`.
struct House {
    dir: TempDir,
    appliance: Arc<Appliance>,
    clients: SocketAddr,
    ci: SocketAddr,
    alice: String,
    bob: String,
    pki: Pki,
    _dns: Dns,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn allow(dir: &Path, policy: &str, hosts: &[&str]) {
    let lines = hosts.iter().map(|host| format!("allow {host}\n"));
    let text = format!("default deny\n{}", lines.collect::<String>());
    let new = dir.join("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, dir.join("policies").join(format!("{policy}.policy"))).unwrap();
}

impl House {
    /// alice is under `alice`, bob under `team`. `a.test`, `b.test` and `c.test` lead to `canary`.
    async fn start(canary: &Canary) -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("policies")).unwrap();
        let port = canary.port();
        allow(dir.path(), "alice", &[&format!("a.test:{port}")]);
        allow(dir.path(), "team", &[&format!("b.test:{port}")]);
        allow(dir.path(), "ci", &[&format!("c.test:{port}")]);
        let file = dir.path().join("clients");
        let alice = appliance::add(&file, &name("alice"), None).unwrap();
        let bob = appliance::add(&file, &name("bob"), Some(&name("team"))).unwrap();
        let dns = Dns::start().await;
        for host in ["a.test", "b.test", "c.test", "d.test"] {
            dns.points(host, &["127.0.0.1"]);
        }
        let mut options = Options::new("proxy", "", dir.path().join("ca"));
        options.dns = Some(dns.address);
        let pki = Pki::new("test origins");
        options.trust = Some(pki.write(dir.path()));
        options.log = Some(dir.path().join("log"));
        let doors = [Door::Clients, Door::Policy(name("ci"))];
        let plan = Plan {
            directory: dir.path().join("policies"),
            clients: Some(file),
            doors: doors.to_vec(),
        };
        let appliance = Appliance::start(options, plan).await.unwrap();
        let mut addresses = Vec::new();
        for door in doors {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tokio::spawn(appliance.clone().serve(listener, door));
        }
        Self {
            dir,
            appliance,
            clients: addresses[0],
            ci: addresses[1],
            alice: basic("alice", &alice),
            bob: basic("bob", &bob),
            pki,
            _dns: dns,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> Vec<audit::Event> {
        let log = fs::read(self.path("log")).unwrap();
        audit::read(log.as_slice()).map(Result::unwrap).collect()
    }
}

fn basic(user: &str, password: &str) -> String {
    let pair = STANDARD.encode(format!("{user}:{password}"));
    format!("Proxy-Authorization: Basic {pair}\r\n")
}

fn get(host: &str, port: u16, fields: &str) -> String {
    format!("GET http://{host}:{port}/x HTTP/1.1\r\nHost: {host}:{port}\r\n{fields}\r\n")
}

async fn ask(proxy: SocketAddr, host: &str, port: u16, fields: &str) -> Answer {
    let fields = format!("Connection: close\r\n{fields}");
    let request = get(host, port, &fields);
    client::raw(proxy, request.as_bytes()).await.unwrap()
}

/// The same where the connection may end under the request, because what it was begun under does.
async fn try_ask(proxy: SocketAddr, host: &str, port: u16, fields: &str) -> Option<u16> {
    let fields = format!("Connection: close\r\n{fields}");
    let answer = client::raw(proxy, get(host, port, &fields).as_bytes()).await;
    answer.map(|answer| answer.status)
}

/// The status and head that answer a CONNECT.
async fn connect(proxy: SocketAddr, host: &str, port: u16, fields: &str) -> (u16, String) {
    let (_, head) = begin(proxy, host, port, fields).await;
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head)
}

/// A tunnel, behind the head that answers its CONNECT.
async fn begin(proxy: SocketAddr, host: &str, port: u16, fields: &str) -> (Tunnel, String) {
    let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{fields}\r\n");
    let mut tunnel = Tunnel {
        io: client::connect(proxy).await,
    };
    tunnel.send(request.as_bytes()).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(tunnel.exactly(1).await);
    }
    (tunnel, String::from_utf8(head).unwrap())
}

/// Each is under its own policy, by whichever way in; nobody else gets anything, and the origin hears of no password.
#[tokio::test(flavor = "multi_thread")]
async fn each_client_has_its_own_policy() {
    let canary = Canary::http(|_| ok("hello")).await;
    let port = canary.port();
    let house = House::start(&canary).await;
    let (alice, bob) = (house.alice.clone(), house.bob.clone());
    let wrong = basic("alice", "guess");
    let unknown = basic("mallory", "guess");
    let twice = format!("{alice}{alice}");
    // Who, and what each of a.test, b.test and c.test answers.
    let rows: [(&str, SocketAddr, &str, [u16; 3]); 10] = [
        ("alice", house.clients, &alice, [200, 403, 403]),
        ("bob", house.clients, &bob, [403, 200, 403]),
        ("nobody", house.clients, "", [407; 3]),
        ("a wrong password", house.clients, &wrong, [407; 3]),
        ("an unknown name", house.clients, &unknown, [407; 3]),
        ("two of them", house.clients, &twice, [407; 3]),
        (
            "another field",
            house.clients,
            "Authorization: Basic eDp5\r\nX-Forwarded-User: alice\r\n",
            [407; 3],
        ),
        (
            "another scheme",
            house.clients,
            "Proxy-Authorization: Bearer alice\r\n",
            [407; 3],
        ),
        ("ci", house.ci, "", [403, 403, 200]),
        ("alice at ci's door", house.ci, &alice, [403, 403, 200]),
    ];
    for (who, proxy, fields, expected) in rows {
        for (host, status) in ["a.test", "b.test", "c.test"].into_iter().zip(expected) {
            let answer = ask(proxy, host, port, fields).await;
            assert_eq!(answer.status, status, "{who} {host}: {}", answer.body);
            let challenged = answer.field("proxy-authenticate").is_some();
            assert_eq!(challenged, status == 407, "{who}");
            let (tunnelled, head) = connect(proxy, host, port, fields).await;
            assert_eq!(tunnelled, status, "{who} {host}");
            assert_eq!(
                head.to_lowercase().contains("proxy-authenticate: basic"),
                status == 407,
                "{head}"
            );
        }
    }
    let seen = String::from_utf8_lossy(&canary.seen().bytes).to_lowercase();
    assert!(
        !seen.contains("proxy-authorization") && seen.contains("get /x"),
        "{seen}"
    );
    let log = house.log();
    let allowed = |who: &str| {
        let mut hosts: Vec<_> = log
            .iter()
            .filter(|event| event.sandbox == who && event.status == Some(200))
            .filter_map(|event| event.target.clone())
            .collect();
        hosts.dedup();
        hosts
    };
    assert_eq!(allowed("alice"), [format!("a.test:{port}")]);
    assert_eq!(allowed("bob"), [format!("b.test:{port}")]);
    assert_eq!(allowed("ci"), [format!("c.test:{port}")]);
    assert!(allowed("proxy").is_empty());
    let text = fs::read_to_string(house.path("log")).unwrap();
    assert!(
        text.contains("\"unidentified\"") && !text.contains("guess"),
        "{text}"
    );
}

/// What is refused tells nobody whether it was the name or the password, nor does it tell of others' denials.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_of_others() {
    let canary = Canary::http(|_| ok("hello")).await;
    let port = canary.port();
    let house = House::start(&canary).await;
    let mut answers = Vec::new();
    for fields in [basic("alice", "x"), basic("mallory", "x"), String::new()] {
        answers.push(ask(house.clients, "a.test", port, &fields).await);
    }
    let undated = |answer: &Answer| {
        let lines = answer.head.lines();
        let undated: Vec<_> = lines.filter(|line| !line.starts_with("date:")).collect();
        format!("{undated:?} {}", answer.body)
    };
    let said: Vec<_> = answers.iter().map(undated).collect();
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");

    let why = "http://host.docker.internal:3128/.sandbox/why";
    let rows = [
        (house.clients, house.alice.clone(), "secret-of-alice.test"),
        (house.clients, house.bob.clone(), "secret-of-bob.test"),
        (house.ci, String::new(), "secret-of-ci.test"),
    ];
    for (proxy, fields, host) in &rows {
        assert_eq!(ask(*proxy, host, 80, fields).await.status, 403);
    }
    for (proxy, fields, host) in &rows {
        let request = format!(
            "GET {why} HTTP/1.1\r\nHost: host.docker.internal:3128\r\nConnection: close\r\n{fields}\r\n"
        );
        let page = client::raw(*proxy, request.as_bytes()).await.unwrap().body;
        assert!(page.contains(host), "{page}");
        assert_eq!(
            page.matches("secret-of-").count(),
            page.matches(host).count(),
            "{page}"
        );
    }
    let request = format!("GET {why} HTTP/1.1\r\nHost: host.docker.internal:3128\r\n\r\n");
    let page = client::raw(house.clients, request.as_bytes())
        .await
        .unwrap();
    assert_eq!(page.status, 407);
    assert!(!page.body.contains("secret-of-"), "{}", page.body);
}

/// A connection is one client's: what comes on it without that client's password, or with another's, is not served.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_one_clients() {
    let canary = Canary::http(|_| ok("hello")).await;
    let port = canary.port();
    let house = House::start(&canary).await;
    for (fields, expected) in [
        (house.alice.clone(), Some(200)),
        (String::new(), Some(407)),
        (house.bob.clone(), Some(407)),
        (basic("alice", "x"), Some(407)),
    ] {
        let mut tunnel = Tunnel {
            io: client::connect(house.clients).await,
        };
        for (fields, expected) in [(&house.alice, Some(200)), (&fields, expected)] {
            tunnel.send(get("a.test", port, fields).as_bytes()).await;
            let status = tunnel.answer().await.map(|answer| answer.status);
            assert_eq!(status, expected, "{fields}");
        }
        if expected == Some(407) {
            assert!(tunnel.rest().await.is_empty(), "closed");
        }
    }
}

/// Files that are added, changed and removed count at once, and what they no longer allow ends.
#[tokio::test(flavor = "multi_thread")]
async fn files_may_come_change_and_go() {
    let canary = Canary::http(|request| match request.contains("/stay") {
        true => Reply::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nsome".to_vec()),
        false => ok("hello"),
    })
    .await;
    let port = canary.port();
    let house = House::start(&canary).await;
    let status =
        async |fields: &str, host: &str| ask(house.clients, host, port, fields).await.status;
    let becomes = async |fields: &str, host: &str, expected: u16| {
        soon("a change", async {
            while try_ask(house.clients, host, port, fields).await != Some(expected) {}
        })
        .await;
    };
    // Changed.
    allow(house.dir.path(), "team", &[&format!("d.test:{port}")]);
    becomes(&house.bob, "d.test", 200).await;
    assert_eq!(status(&house.bob, "b.test").await, 403);
    assert_eq!(status(&house.alice, "a.test").await, 200);
    // Wrong: the last good one stays, and it is told.
    fs::write(house.path("policies/team.policy"), "allow\n").unwrap();
    soon("the trouble", async {
        while house.appliance.troubles().is_empty() {
            house.appliance.look().await;
        }
    })
    .await;
    assert_eq!(status(&house.bob, "d.test").await, 200);
    assert!(house.log().iter().any(|event| {
        event
            .message
            .as_deref()
            .is_some_and(|text| text.starts_with("policy `team`: team.policy:1:"))
    }));
    // Whole again.
    allow(house.dir.path(), "team", &[&format!("b.test:{port}")]);
    becomes(&house.bob, "b.test", 200).await;
    assert!(house.appliance.troubles().is_empty());
    // A new client, with a policy that comes later.
    let carol = appliance::add(&house.path("clients"), &name("carol"), None).unwrap();
    let carol = basic("carol", &carol);
    becomes(&carol, "c.test", 403).await;
    allow(house.dir.path(), "carol", &[&format!("c.test:{port}")]);
    becomes(&carol, "c.test", 200).await;
    // A new password: what was begun by the old one ends.
    let mut old = Tunnel {
        io: client::connect(house.clients).await,
    };
    let request = get("a.test", port, &house.alice).replace("/x ", "/stay ");
    old.send(request.as_bytes()).await;
    canary
        .until("the request", |seen| {
            seen.requests
                .last()
                .is_some_and(|last| last.contains("/stay"))
        })
        .await;
    let alice = appliance::add(&house.path("clients"), &name("alice"), None).unwrap();
    becomes(&house.alice, "a.test", 407).await;
    old.rest().await;
    assert_eq!(status(&basic("alice", &alice), "a.test").await, 200);
    // A file that others may read counts for nothing: the one before stays.
    let file = house.path("clients");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "").unwrap();
    house.appliance.look().await;
    assert_eq!(house.appliance.troubles().len(), 1);
    assert_eq!(status(&house.bob, "b.test").await, 200);
    // Private, and empty: nobody is known any more.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    becomes(&house.bob, "b.test", 407).await;
    // A policy that is gone for good takes its door with it, and brings it back.
    let ci = async |expected: u16| {
        soon("ci's change", async {
            while try_ask(house.ci, "c.test", port, "").await != Some(expected) {}
        })
        .await;
    };
    ci(200).await;
    let policy = house.path("policies/ci.policy");
    let text = fs::read(&policy).unwrap();
    fs::remove_file(&policy).unwrap();
    ci(403).await;
    fs::write(&policy, text).unwrap();
    ci(200).await;
}

/// Without a good file for everybody there is no start, and everything that is wrong is told.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_starts_without_good_files() {
    let dir = TempDir::new().unwrap();
    let policies = dir.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let clients = dir.path().join("clients");
    appliance::add(&clients, &name("alice"), None).unwrap();
    fs::write(policies.join("both.json"), "{}").unwrap();
    fs::write(policies.join("both.policy"), "").unwrap();
    fs::write(policies.join("bad.policy"), "allow\n").unwrap();
    let plan = Plan {
        directory: policies,
        clients: Some(clients),
        doors: ["both", "bad"]
            .map(|policy| Door::Policy(name(policy)))
            .to_vec(),
    };
    let options = Options::new("proxy", "", dir.path().join("ca"));
    let error = Appliance::start(options, plan).await.err().unwrap();
    let error = error.to_string();
    for part in [
        "there is no `alice.policy`",
        "bad.policy:1:",
        "`both.policy` and `both.json` are both",
    ] {
        assert!(error.contains(part), "{error}");
    }
}
