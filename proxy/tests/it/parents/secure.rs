//! Parents that are spoken to inside TLS.

use std::io::Write as _;

use http::Response;
use proxy::parent::Parents;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::working::Working;
use crate::support::h2::{Client, Origin, full};
use crate::support::origin::ok;
use crate::support::pki::{Flaw, Pki};
use crate::support::world::{config, deny};
use crate::support::{Canary, World, soon};

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
        let parent =
            Working::start(Some(pki.server(host, Flaw::None, &[b"h2", b"http/1.1"]))).await;
        let world = world(&format!("{host}:{}", parent.address.port()), &pki).await;
        let tls = |alpn: &[&[u8]]| world.pki.server("canary.test", Flaw::None, alpn);
        let first = Canary::https(tls(&[b"http/1.1"]), |_| ok("first")).await;
        let second = Origin::start(tls(&[b"h2"]), |_| Response::new(full("second"))).await;
        let unread = Canary::http(|_| ok("unread")).await;
        let ports = [first.port(), second.address.port(), unread.port(), 80];
        let [first, second, unread, plain] = ports.map(|port| format!("canary.test:{port}"));
        world.set(&deny(&[&first, &second, &unread, &plain]));

        assert_eq!(world.get(&plain, "/a").await.body, "plain");
        let mut tunnel = world.inside(&first).await;
        for _ in 0..2 {
            assert_eq!(tunnel.get(&first, "/").await.unwrap().body, "first");
        }
        let client = Client::connect(&world, &second, &[b"h2"]).await;
        assert_eq!(client.get("/").await, (200, "second".into()));

        world.set(&config("deny", &[&unread], &[], &["canary.test"]));
        let mut tunnel = world.connect(&unread).await.unwrap();
        assert_eq!(tunnel.get(&unread, "/").await.unwrap().body, "unread");

        let heads = parent.heads();
        assert!(
            heads[0].starts_with("GET http://canary.test/a HTTP/1.1\r\n"),
            "{heads:?}"
        );
        let expected = ports[..3]
            .iter()
            .map(|port| format!("CONNECT 127.0.0.1:{port} HTTP/1.1"));
        assert_eq!(parent.asked()[1..], expected.collect::<Vec<_>>());
        let known = |head: &String| {
            head.to_lowercase()
                .contains("authorization: basic bwu6cebzcw==\r\n")
        };
        assert!(heads.iter().all(known), "{heads:?}");
    }
}

/// Megabytes arrive whole, and their end is passed on, one direction after the other.
#[tokio::test(flavor = "multi_thread")]
async fn ends_are_passed_on_inside_tls() {
    let pki = Pki::new("test parents");
    let parent = Some(pki.server("127.0.0.1", Flaw::None, &[b"http/1.1"]));
    let parent = Working::start(parent).await;
    let world = world(&parent.address.to_string(), &pki).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("canary.test:{}", listener.local_addr().unwrap().port());
    world.set(&config("deny", &[&authority], &[], &["canary.test"]));
    let [question, word] = [b'q', b'w'].map(|byte| vec![byte; 2_000_000]);
    let (expected, last) = (question.len(), word.clone());
    let origin = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut question = Vec::new();
        stream.read_to_end(&mut question).await.unwrap();
        stream.write_all(&last).await.unwrap();
        question.len()
    });
    let mut tunnel = world.connect(&authority).await.unwrap();
    tunnel.send(&question).await;
    tunnel.io.shutdown().await.unwrap();
    assert!(tunnel.rest().await == word);
    assert_eq!(soon("the origin", origin).await.unwrap(), expected);
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
        let parent = Working::start(Some(pki.server("127.0.0.1", flaw, &[b"http/1.1"]))).await;
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
