//! `CONNECT`: what may travel inside.

use crate::support::client::client_config;
use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::world::{config, deny};
use crate::support::{Canary, Reply, World};

async fn bypassed() -> (World, Canary, String) {
    let canary = Canary::http(|_| Reply::Echo(Vec::new())).await;
    let authority = format!("canary.test:{}", canary.port());
    let world = World::new(&config("deny", &[&authority], &[], &[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    (world, canary, authority)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bypassed_tunnel_carries_any_bytes() {
    let (world, canary, authority) = bypassed().await;
    let mut tunnel = world.connect(&authority).await.unwrap();
    tunnel.send(b"SSH-2.0-x\r\n\r\n").await;
    canary
        .until("the first bytes", |seen| seen.requests.len() == 1)
        .await;
    tunnel.send(b"\0\x01\x02echo").await;
    assert_eq!(tunnel.exactly(7).await, b"\0\x01\x02echo");
    drop(tunnel);
    let event = world
        .event("the tunnel's line", |event| event.method == "CONNECT")
        .await;
    assert_eq!(event.carriage, Some(proxy::audit::Carriage::Bypass));
    assert_eq!(event.kind, proxy::audit::Kind::Tunnel);
    assert_eq!(event.bytes_up, 13 + 7);
    assert_eq!(event.bytes_down, 7);
}

/// F2: half-closes travel both ways.
#[tokio::test(flavor = "multi_thread")]
async fn half_closes_are_passed_on() {
    use tokio::io::AsyncWriteExt as _;
    let (world, canary, authority) = bypassed().await;
    let mut tunnel = world.connect(&authority).await.unwrap();
    tunnel.send(b"x\r\n\r\n").await;
    canary
        .until("the first bytes", |seen| seen.requests.len() == 1)
        .await;
    tunnel.send(b"question").await;
    tunnel.io.shutdown().await.unwrap();
    assert_eq!(tunnel.rest().await, b"question");
}

/// D3: in a tunnel that is not read, TLS must be for the host that was admitted.
#[tokio::test(flavor = "multi_thread")]
async fn a_bypassed_server_name_must_match() {
    let world = World::new(&deny(&[])).await;
    let origin = Canary::https(
        world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]),
        |_| ok("hello"),
    )
    .await;
    let authority = format!("canary.test:{}", origin.port());
    world.set(&config("deny", &[&authority], &[], &[&authority]));
    world.dns.points("canary.test", &["127.0.0.1"]);
    let ca = std::fs::read_to_string(world.dir.path().join("origin-ca.pem")).unwrap();

    // Control: end-to-end TLS with the origin's own certificate.
    let mut good = world
        .connect(&authority)
        .await
        .unwrap()
        .tls(&ca, "canary.test")
        .await
        .unwrap();
    assert_eq!(good.get("canary.test", "/").await.unwrap().body, "hello");

    let bytes = origin.seen().bytes.len();
    for name in ["evil.test", "www.canary.test"] {
        let tunnel = world.connect(&authority).await.unwrap();
        let error = tunnel.tls(&ca, name).await.err().unwrap().to_string();
        assert!(
            error.contains("UnrecognisedName") || error.contains("UnrecognizedName"),
            "{name}: {error}"
        );
    }
    // No name at all.
    let mut config = client_config(&ca, &[]);
    config.enable_sni = false;
    assert!(
        world
            .connect(&authority)
            .await
            .unwrap()
            .tls_with(config, "canary.test")
            .await
            .is_err()
    );
    assert_eq!(
        origin.seen().bytes.len(),
        bytes,
        "nothing of it reached the origin"
    );
    world
        .event("the line", |event| {
            event.reason.as_deref() == Some("server-name")
        })
        .await;
}

/// T10, D13: what is neither TLS nor HTTP goes nowhere unless bypassed.
#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_are_closed() {
    let (world, canary, authority) = World::around(|_| ok("hello")).await;
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\x16\x03\x01\x00\x00",
    ] {
        let mut tunnel = world.connect(&authority).await.unwrap();
        tunnel.send(bytes).await;
        assert_eq!(tunnel.rest().await, b"", "{}", bytes.escape_ascii());
    }
    assert_eq!(canary.seen().connections, 0);
    world
        .event("the line", |event| {
            event.reason.as_deref() == Some("not-http")
        })
        .await;
}

/// HTTP inside `CONNECT` is judged like any other HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn plain_http_inside_is_judged() {
    let (world, canary, authority) = World::around(|_| ok("hello")).await;
    let mut tunnel = world.connect(&authority).await.unwrap();
    assert_eq!(tunnel.get(&authority, "/1").await.unwrap().body, "hello");
    let wrong = tunnel.get("evil.test", "/2").await.unwrap();
    assert_eq!((wrong.status, wrong.reason()), (421, "misdirected"));
    assert_eq!(tunnel.get(&authority, "/3").await.unwrap().status, 200);
    assert_eq!(canary.requests().len(), 2);
}

/// D12: bytes sent before our consent are not lost, and are not sent on when there is no consent.
#[tokio::test(flavor = "multi_thread")]
async fn early_bytes() {
    let (world, canary, authority) = bypassed().await;
    let mut client = world.dial().await;
    client
        .send(
            format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\nearly\r\n\r\n")
                .as_bytes(),
        )
        .await;
    canary
        .until("the early bytes", |seen| seen.bytes == b"early\r\n\r\n")
        .await;

    let mut client = world.dial().await;
    let smuggled = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    client
        .send(
            format!("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n{smuggled}")
                .as_bytes(),
        )
        .await;
    let rest = String::from_utf8_lossy(&client.rest().await).into_owned();
    assert!(rest.starts_with("HTTP/1.1 403 "), "{rest}");
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 1);
    assert_eq!(canary.seen().connections, 1);
}

/// Bulk goes through `splice(2)` and small messages through a buffer; neither may lose or change a byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_carries_every_byte() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (world, canary, authority) = bypassed().await;
    let mut tunnel = world.connect(&authority).await.unwrap();
    tunnel.send(b"x\r\n\r\n").await;
    canary
        .until("the first bytes", |seen| seen.requests.len() == 1)
        .await;
    let (mut reader, mut writer) = tunnel.io.into_split();
    // A pattern whose period is no power of two, in pieces from one byte to a megabyte.
    let bytes: Vec<u8> = (0..24 * 1024 * 1024_u32)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    let sent = bytes.clone();
    let sender = tokio::spawn(async move {
        let mut left = sent.as_slice();
        for size in [1, 7, 1000, 16 * 1024, 16 * 1024 + 1, 1024 * 1024]
            .into_iter()
            .cycle()
        {
            let (piece, rest) = left.split_at(size.min(left.len()));
            writer.write_all(piece).await.unwrap();
            left = rest;
            if left.is_empty() {
                break;
            }
        }
        writer.shutdown().await.unwrap();
    });
    let mut echo = Vec::new();
    crate::support::soon("the echo", reader.read_to_end(&mut echo))
        .await
        .unwrap();
    sender.await.unwrap();
    assert!(echo == bytes, "{} of {} bytes", echo.len(), bytes.len());
}
