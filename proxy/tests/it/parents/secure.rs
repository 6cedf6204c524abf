//! Parents that are spoken to inside TLS.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::Response;
use proxy::parent::Parents;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::h2::{Client, Origin, full};
use crate::support::origin::ok;
use crate::support::pki::{Flaw, Pki};
use crate::support::world::{config, deny};
use crate::support::{Canary, World, client, soon};

/// A parent inside TLS that does what it is asked for, and keeps the heads that it saw and what the handshakes settled on.
struct Parent {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Parent {
    async fn start(tls: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<_>>>::default();
        let (notes, tls) = (heads.clone(), TlsAcceptor::from(tls));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served(tls.clone(), stream, notes.clone()));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn served(tls: TlsAcceptor, stream: TcpStream, notes: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut io = tls.accept(stream).await.ok()?;
    let alpn = io.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    assert_eq!(alpn.as_deref(), Some(&b"http/1.1"[..]));
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        notes.lock().unwrap().push(head.clone());
        let Some(rest) = head.strip_prefix("CONNECT ") else {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain";
            io.write_all(answer).await.ok()?;
            continue;
        };
        let address = rest.split(' ').next()?.parse().unwrap();
        let mut origin = client::connect(address).await;
        io.write_all(b"HTTP/1.1 200 Yes\r\n\r\n").await.ok()?;
        let _ = tokio::io::copy_bidirectional(&mut io, &mut origin).await;
        return None;
    }
}

/// A proxy whose parent is `https://me:p@ss@{parent}`, and that trusts `pki` beside its own origins' authority.
async fn world(parent: &str, pki: &Pki) -> World {
    let parents = Parents::from_variables(|name| {
        (name == "ALL_PROXY").then(|| format!("https://me:p%40ss@{parent}"))
    })
    .unwrap();
    let world = World::made(&deny(&[]), |options| {
        options.parents = parents;
        let trust = options.trust.as_ref().unwrap();
        let mut trust = std::fs::OpenOptions::new()
            .append(true)
            .open(trust)
            .unwrap();
        trust.write_all(pki.authority.pem().as_bytes()).unwrap();
    })
    .await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    world
}

/// Plain HTTP, interception of both HTTPs, and tunnels; TLS to an origin runs inside TLS to the parent.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_inside_tls_carries_everything() {
    let pki = Pki::new("test parents");
    for host in ["127.0.0.1", "localhost"] {
        let parent = Parent::start(pki.server(host, Flaw::None, &[b"h2", b"http/1.1"])).await;
        let world = world(&format!("{host}:{}", parent.address.port()), &pki).await;
        let tls = |alpn: &[&[u8]]| world.pki.server("canary.test", Flaw::None, alpn);
        let first = Canary::https(tls(&[b"http/1.1"]), |_| ok("first")).await;
        let second = Origin::start(tls(&[b"h2"]), |_| Response::new(full("second"))).await;
        let large = Canary::http(|_| ok(&"x".repeat(3_000_000))).await;
        let ports = [first.port(), second.address.port(), large.port(), 80];
        let [first, second, large, plain] = ports.map(|port| format!("canary.test:{port}"));
        world.set(&deny(&[&first, &second, &large, &plain]));

        assert_eq!(world.get(&plain, "/a").await.body, "plain");
        let mut tunnel = world.inside(&first).await;
        for _ in 0..2 {
            assert_eq!(tunnel.get(&first, "/").await.unwrap().body, "first");
        }
        let client = Client::connect(&world, &second, &[b"h2"]).await;
        assert_eq!(client.get("/").await, (200, "second".into()));

        // Unread, and more than the sockets between hold.
        world.set(&config("deny", &[&large], &[], &["canary.test"]));
        let mut tunnel = world.connect(&large).await.unwrap();
        tunnel
            .send(format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(900_000)).as_bytes())
            .await;
        let answer = soon("the answer", tunnel.answer()).await.unwrap();
        assert_eq!(answer.body.len(), 3_000_000);

        let heads = parent.heads();
        assert!(
            heads[0].starts_with("GET http://canary.test/a HTTP/1.1\r\n"),
            "{heads:?}"
        );
        let asked: Vec<_> = heads[1..]
            .iter()
            .map(|head| head.lines().next().unwrap())
            .collect();
        let expected = ports[..3]
            .iter()
            .map(|port| format!("CONNECT 127.0.0.1:{port} HTTP/1.1"));
        assert_eq!(asked, expected.collect::<Vec<_>>());
        let known = |head: &String| {
            head.to_lowercase()
                .contains("authorization: basic bwu6cebzcw==\r\n")
        };
        assert!(heads.iter().all(known), "{heads:?}");
    }
}

/// What the far side says last arrives, and its end is passed on, in both directions.
#[tokio::test(flavor = "multi_thread")]
async fn ends_are_passed_on_inside_tls() {
    let pki = Pki::new("test parents");
    let parent = Parent::start(pki.server("127.0.0.1", Flaw::None, &[b"http/1.1"])).await;
    let world = world(&parent.address.to_string(), &pki).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("canary.test:{}", listener.local_addr().unwrap().port());
    world.set(&config("deny", &[&authority], &[], &["canary.test"]));
    let origin = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut question = Vec::new();
        stream.read_to_end(&mut question).await.unwrap();
        stream.write_all(b"the last word").await.unwrap();
        question
    });
    let mut tunnel = world.connect(&authority).await.unwrap();
    tunnel.send(b"a question").await;
    tunnel.io.shutdown().await.unwrap();
    assert_eq!(tunnel.rest().await, b"the last word");
    assert_eq!(soon("the origin", origin).await.unwrap(), b"a question");
}

/// One whose certificate does not verify hears nothing, not even the password, and there is no way around it.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_does_not_verify_hears_nothing() {
    let pki = Pki::new("test parents");
    let origin = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", origin.port());
    let rows = [
        (Flaw::Expired, "expired"),
        (Flaw::WrongHost, "for another host"),
        (Flaw::UnknownAuthority, "not signed by an authority"),
    ];
    for (flaw, says) in rows {
        let parent = Parent::start(pki.server("127.0.0.1", flaw, &[b"http/1.1"])).await;
        let world = world(&parent.address.to_string(), &pki).await;
        world.set(&config("deny", &[&authority], &[], &["canary.test"]));
        let plain = world.get(&authority, "/").await;
        let tunnelled = world.connect(&authority).await.err().unwrap();
        for answer in [plain, tunnelled] {
            assert_eq!(
                (answer.status, answer.reason()),
                (502, "parent-tls"),
                "{flaw:?}"
            );
            assert!(answer.body.contains(says), "{}", answer.body);
        }
        assert!(parent.heads().is_empty());
    }
    // One that does not speak TLS at all.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = world(&deaf.local_addr().unwrap().to_string(), &pki).await;
    world.set(&deny(&[&authority]));
    let heard = tokio::spawn(async move {
        let (mut stream, _) = deaf.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 No\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let answer = world.get(&authority, "/").await;
    assert_eq!((answer.status, answer.reason()), (502, "parent-tls"));
    let heard = soon("the end", heard).await.unwrap();
    assert!(!String::from_utf8_lossy(&heard).contains("canary.test"));
    assert_eq!(origin.seen().connections, 0);
}
