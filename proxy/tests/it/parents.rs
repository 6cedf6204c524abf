//! Proxies between this machine and the network (F24).

mod secure;
mod unresolved;
mod working;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxy::parent::Parents;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::world::{config, deny};
use crate::support::{Canary, Reply, World, client, soon};

/// `http://{user}{address}` for everything but `direct.test`.
fn parents(user: &str, address: SocketAddr, by_name: bool) -> Parents {
    Parents::from_variables(|name| match name {
        "ALL_PROXY" => Some(format!("http://{user}{address}")),
        "NO_PROXY" => Some("direct.test".into()),
        "SANDBOX_PARENT_BY_NAME" => by_name.then(|| "1".into()),
        _ => None,
    })
    .unwrap()
}

async fn world(config: &str, parents: Parents) -> World {
    world_within(config, parents, Duration::from_secs(10)).await
}

/// The same with so much time for a parent to do its part.
async fn world_within(config: &str, parents: Parents, connect: Duration) -> World {
    let world = World::made(config, |options| {
        options.parents = parents;
        options.limits.connect = connect;
    })
    .await;
    for name in ["canary.test", "direct.test"] {
        world.dns.points(name, &["127.0.0.1"]);
    }
    world
}

/// A parent that writes down what it is asked, and does not do it.
async fn refusing(status: &'static str) -> Canary {
    Canary::http(move |_| {
        Reply::SendAndClose(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into_bytes())
    })
    .await
}

/// What a parent is asked for is the address that was judged, and the guest's own words to a proxy stay here.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_is_asked_for_the_judged_address() {
    let parent = refusing("502 No").await;
    // By an exact rule, by a wildcard, and by name.
    let rows = [
        (
            "canary.test:444",
            false,
            "CONNECT 127.0.0.1:444 HTTP/1.1\r\nHost: 127.0.0.1:444\r\n",
        ),
        (
            "canary.test:444",
            true,
            "CONNECT canary.test:444 HTTP/1.1\r\nHost: canary.test:444\r\n",
        ),
    ];
    for (row, (authority, by_name, expected)) in rows.into_iter().enumerate() {
        let policy = config("deny", &[authority], &[], &["canary.test"]);
        let parents = parents("me:p%40ss@", parent.address, by_name);
        let world = world(&policy, parents).await;
        let refused = world.connect(authority).await.err().unwrap();
        assert_eq!((refused.status, refused.reason()), (502, "parent-refused"));
        let asked = parent.requests().remove(row);
        assert!(asked.starts_with(expected), "{asked}");
        assert!(
            asked.contains("Proxy-Authorization: Basic bWU6cEBzcw==\r\n"),
            "{asked}"
        );
        let event = world
            .event("the line", |event| event.reason.is_some())
            .await;
        assert_eq!(event.via, Some(parent.address.to_string()));
        let log = std::fs::read_to_string(world.dir.path().join("network.jsonl")).unwrap();
        assert!(!log.contains("bWU6") && !log.contains("p@ss"), "{log}");
    }
}

/// Plain HTTP has no other form than the absolute one, which exact rules and address literals get.
#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_go_in_absolute_form() {
    let parent = Canary::http(|_| ok("from the parent")).await;
    let policy = deny(&["canary.test:444"]);
    let world = world(&policy, parents("me:p%40ss@", parent.address, false)).await;
    for row in 0..2 {
        let request = "GET http://canary.test:444/a?b HTTP/1.1\r\nHost: canary.test:444\r\nProxy-Authorization: Basic bWluZQ==\r\nConnection: close\r\n\r\n";
        let answer = world.raw(request).await.unwrap();
        assert_eq!(answer.body, "from the parent");
        let asked = parent.requests().remove(row);
        assert!(
            asked.starts_with("GET http://canary.test:444/a?b HTTP/1.1\r\n"),
            "{asked}"
        );
        assert!(asked.contains("host: canary.test:444\r\n"), "{asked}");
        assert!(
            asked.contains("proxy-authorization: Basic bWU6cEBzcw==\r\n"),
            "{asked}"
        );
        assert!(!asked.contains("bWluZQ"), "{asked}");
    }
    assert_eq!(parent.seen().connections, 1, "kept");
}

/// Policy and address checks are the same, before any parent is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_changes_no_verdict() {
    let parent = refusing("200 OK").await;
    let world = world(
        &config("deny", &["*.test", "named.example"], &["blocked.test"], &[]),
        parents("", parent.address, true),
    )
    .await;
    world.dns.points("private.test", &["10.1.2.3"]);
    world.dns.points("meta.test", &["169.254.169.254"]);
    world.dns.points("named.example", &["169.254.169.254"]);
    for host in [
        "blocked.test",
        "other.example",
        "private.test",
        "meta.test",
        "canary.test",
        "named.example",
    ] {
        assert_eq!(world.get(host, "/").await.status, 403, "{host}");
        let refused = world.connect(&format!("{host}:443")).await.err().unwrap();
        assert_eq!(refused.status, 403, "{host}");
    }
    assert_eq!(parent.seen().connections, 0);
}

/// F24: whatever a parent does instead of its part, the request ends there and the origin is never dialled.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_way_around_a_parent() {
    let origin = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", origin.port());
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = nobody.local_addr().unwrap();
    drop(nobody);
    let rows = [
        (Some("407 Who"), "parent-auth"),
        (Some("403 No"), "parent-refused"),
        (Some("nonsense"), "parent-malformed"),
        (Some("silence"), "parent-timeout"),
        (None, "parent-unreachable"),
    ];
    for (status, reason) in rows {
        let parent = match status {
            Some("silence") => Some(Canary::http(|_| Reply::Hang).await),
            Some(status) => Some(refusing(status).await),
            None => None,
        };
        let address = parent.as_ref().map_or(gone, |parent| parent.address);
        let policy = config(
            "deny",
            &[&authority, "direct.test:*"],
            &[],
            &["canary.test"],
        );
        let connect = match status {
            Some("silence") => Duration::from_millis(300),
            _ => Duration::from_secs(10),
        };
        let policy = policy.replace("direct.test:*", "direct.test");
        let world = world_within(&policy, parents("", address, false), connect).await;
        let refused = world.connect(&authority).await.err().unwrap();
        assert_eq!(
            (refused.status, refused.reason()),
            (502, reason),
            "{status:?}"
        );
        assert_eq!(origin.seen().connections, 0);
    }
    // One that consents and then resets: the client's tunnel ends, and intercepted requests are a 502.
    for bypassed in [true, false] {
        let consents = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        let parent = Canary::http(move |_| Reply::SendAndReset(consents.clone())).await;
        let bypass: &[&str] = if bypassed { &["canary.test"] } else { &[] };
        let policy = config("deny", &[&authority], &[], bypass);
        let world = world(&policy, parents("", parent.address, false)).await;
        let mut tunnel = world.connect(&authority).await.unwrap();
        if bypassed {
            assert!(tunnel.rest().await.is_empty());
        } else {
            let mut tunnel = tunnel.tls(&world.ca(), "canary.test").await.unwrap();
            assert_eq!(tunnel.get(&authority, "/").await.unwrap().status, 502);
        }
        assert_eq!(
            (origin.seen().connections, parent.seen().connections > 0),
            (0, true)
        );
    }
    // The control: a host that is exempt from parents.
    let direct = format!("direct.test:{}", origin.port());
    let world = world(&deny(&[&direct]), parents("", gone, false)).await;
    assert_eq!(world.get(&direct, "/").await.status, 200);
}

/// A `tinyproxy` that knows one user.
struct Tinyproxy {
    process: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Tinyproxy {
    async fn start() -> Self {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let dir = TempDir::new().unwrap();
        let conf = dir.path().join("conf");
        let log = dir.path().join("log");
        std::fs::write(
            &conf,
            format!(
                "Port {}\nListen 127.0.0.1\nAllow 127.0.0.1\nBasicAuth me passw0rd\nMaxClients 20\nLogFile \"{}\"\nLogLevel Info\n",
                address.port(),
                log.display()
            ),
        )
        .unwrap();
        let process = Command::new("tinyproxy")
            .args(["-d", "-c"])
            .arg(&conf)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let parent = Self {
            process,
            address,
            dir,
        };
        soon("tinyproxy", async {
            while !parent.log().contains("Starting main loop") {
                tokio::task::yield_now().await;
            }
        })
        .await;
        parent
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A real parent with authentication: tunnels and interception, kept alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_parent_carries_everything() {
    let parent = Tinyproxy::start().await;
    let world = World::made(r#"{"policy":"deny"}"#, |options| {
        options.parents = Parents::from_variables(|name| {
            (name == "ALL_PROXY").then(|| format!("me:passw0rd@{}", parent.address))
        })
        .unwrap();
    })
    .await;
    let tls = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    let origin = Canary::https(tls, |_| ok("secure")).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    let authority = format!("canary.test:{}", origin.port());
    world.set(&deny(&[&authority]));
    let mut tunnel = world.inside(&authority).await;
    for _ in 0..2 {
        assert_eq!(tunnel.get(&authority, "/").await.unwrap().body, "secure");
    }
    assert_eq!(origin.seen().connections, 1, "kept");
    let log = parent.log();
    assert!(
        log.contains(&format!("CONNECT 127.0.0.1:{}", origin.port())),
        "{log}"
    );

    // And unread.
    let answer = {
        world.set(&config("deny", &[&authority], &[], &["canary.test"]));
        let ca = std::fs::read_to_string(world.dir.path().join("origin-ca.pem")).unwrap();
        let mut tunnel = world
            .connect(&authority)
            .await
            .unwrap()
            .tls(&ca, "canary.test")
            .await
            .unwrap();
        tunnel.get(&authority, "/").await.unwrap()
    };
    assert_eq!(answer.body, "secure");
}

/// A parent that does not know us: the guest is told, and never asked for a password.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_the_operators_matter() {
    let parent = Tinyproxy::start().await;
    let plain = Canary::http(|_| ok("plain")).await;
    let world = world(
        &deny(&[&format!("canary.test:{}", plain.port())]),
        parents("", parent.address, false),
    )
    .await;
    for _ in 0..2 {
        let request = format!(
            "GET http://canary.test:{}/ HTTP/1.1\r\nHost: canary.test:{0}\r\nProxy-Authorization: Basic bWU6cGFzc3cwcmQ=\r\nConnection: close\r\n\r\n",
            plain.port()
        );
        let answer = client::raw(world.address, request.as_bytes())
            .await
            .unwrap();
        assert_eq!((answer.status, answer.reason()), (502, "parent-auth"));
        assert_eq!(answer.field("proxy-authenticate"), None);
    }
    assert_eq!(plain.seen().connections, 0);
}

/// A SOCKS 5 server (RFC 1928) that knows `me` by `p@ss`, writes down what it is asked for, and does it or says why not.
async fn socks(reply: u8) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(served(stream, reply, notes.clone()));
        }
    });
    (address, asked)
}

async fn served(mut io: TcpStream, reply: u8, notes: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut methods = vec![0; 2];
    io.read_exact(&mut methods).await.ok()?;
    let mut offered = vec![0; methods[1].into()];
    io.read_exact(&mut offered).await.ok()?;
    if !offered.contains(&2) {
        // No acceptable method.
        return io.write_all(&[5, 0xff]).await.ok();
    }
    io.write_all(&[5, 2]).await.ok()?;
    let mut login = [0; 9];
    io.read_exact(&mut login).await.ok()?;
    let known = login == *b"\x01\x02me\x04p@ss";
    io.write_all(&[1, u8::from(!known)]).await.ok()?;
    let mut head = [0; 4];
    io.read_exact(&mut head).await.ok()?;
    let mut address = vec![
        0;
        if head[3] == 1 {
            4
        } else {
            io.read_u8().await.ok()?.into()
        }
    ];
    io.read_exact(&mut address).await.ok()?;
    let port = io.read_u16().await.ok()?;
    let shown = match head[3] {
        1 => format!(
            "{}.{}.{}.{}",
            address[0], address[1], address[2], address[3]
        ),
        _ => String::from_utf8(address).ok()?,
    };
    notes.lock().unwrap().push(format!("{shown}:{port}"));
    let answer = [5, reply, 0, 1, 0, 0, 0, 0, 0, 0];
    io.write_all(&answer).await.ok()?;
    if reply == 0 {
        let mut origin = client::connect(SocketAddr::from(([127, 0, 0, 1], port))).await;
        let _ = tokio::io::copy_bidirectional(&mut io, &mut origin).await;
    }
    Some(())
}

/// A SOCKS parent carries plain HTTP, interception and tunnels, is asked for the judged address, and has no way around it.
#[tokio::test(flavor = "multi_thread")]
async fn a_socks_parent_carries_everything() {
    let (parent, asked) = socks(0).await;
    let as_socks = |user: &str, address: SocketAddr, by_name: bool| {
        let url = format!("socks5://{user}{address}");
        Parents::from_variables(|name| match name {
            "ALL_PROXY" => Some(url.clone()),
            "SANDBOX_PARENT_BY_NAME" => by_name.then(|| "1".into()),
            _ => None,
        })
        .unwrap()
    };
    let plain = Canary::http(|_| ok("plain")).await;
    for by_name in [false, true] {
        let world = world(&deny(&[]), as_socks("me:p%40ss@", parent, by_name)).await;
        let tls = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
        let secure = Canary::https(tls, |_| ok("secure")).await;
        let [secure, plain] =
            [secure.port(), plain.port()].map(|port| format!("canary.test:{port}"));
        world.set(&deny(&[&secure, &plain]));
        assert_eq!(world.get(&plain, "/").await.body, "plain");
        let mut tunnel = world.inside(&secure).await;
        assert_eq!(tunnel.get(&secure, "/").await.unwrap().body, "secure");
        world.set(&config("deny", &[&plain], &[], &["canary.test"]));
        let mut tunnel = world.connect(&plain).await.unwrap();
        let answer = tunnel.get("canary.test", "/").await.unwrap();
        assert_eq!(answer.body, "plain");
        let host = if by_name { "canary.test" } else { "127.0.0.1" };
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        assert_eq!(asked.len(), 3);
        assert!(asked.iter().all(|one| one.starts_with(host)), "{asked:?}");
    }
    let refusals = [
        ("", 0, "parent-auth"),
        ("me:pass@", 0, "parent-auth"),
        ("me:p%40ss@", 2, "parent-refused"),
        ("me:p%40ss@", 5, "parent-refused"),
    ];
    for (user, reply, reason) in refusals {
        let (parent, _) = socks(reply).await;
        let before = plain.seen().connections;
        let authority = format!("canary.test:{}", plain.port());
        let world = world(&deny(&[&authority]), as_socks(user, parent, false)).await;
        let answer = world.get(&authority, "/").await;
        assert_eq!((answer.status, answer.reason()), (502, reason), "{user}");
        assert_eq!(plain.seen().connections, before);
    }
}
