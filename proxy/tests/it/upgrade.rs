//! Upgrades: `websocket` after a 101, and nothing else.

use crate::support::origin::ok;
use crate::support::{Reply, World};

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: y\r\n\r\n";

fn ask(authority: &str, protocol: &str) -> String {
    format!(
        "GET http://{authority}/ws HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Key: x\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_bytes_after_101() {
    let (world, canary, authority) = World::around(|_| Reply::Echo(SWITCH.to_vec())).await;
    let mut client = world.dial().await;
    client.send(ask(&authority, "websocket").as_bytes()).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.field("sec-websocket-accept")),
        (101, Some("y"))
    );
    assert!(canary.requests()[0].contains("upgrade: websocket\r\n"));
    // Bytes that would be refused as a head pass: this is no longer HTTP.
    client.send(b"\x81\x05hello\n\n\r\0").await;
    assert_eq!(client.exactly(11).await, b"\x81\x05hello\n\n\r\0");
    drop(client);
    let event = world
        .event("the line", |event| event.status == Some(101))
        .await;
    assert_eq!((event.bytes_up, event.bytes_down), (11, 11));
}

/// D11
#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_upgrades() {
    let (world, canary, authority) = World::around(|_| ok("plain")).await;
    // h2c is left out, and the request goes on without it.
    let mut client = world.dial().await;
    client.send(ask(&authority, "h2c").as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().body, "plain");
    assert!(!canary.requests()[0].to_lowercase().contains("upgrade"));
    for protocol in ["TLS/1.0", "websocket, h2c", "irc"] {
        let mut client = world.dial().await;
        client.send(ask(&authority, protocol).as_bytes()).await;
        assert_eq!(client.answer().await.unwrap().status, 400, "{protocol}");
    }
    // An origin that declines is no upgrade: what follows is HTTP, and judged.
    let mut client = world.dial().await;
    client.send(ask(&authority, "websocket").as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    client.send(b"\x81\x05hello\n\n").await;
    assert!(String::from_utf8_lossy(&client.rest().await).starts_with("HTTP/1.1 400 "));
    assert_eq!(canary.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_nobody_asked_for_is_refused() {
    let (world, _canary, authority) = World::around(|_| Reply::Echo(SWITCH.to_vec())).await;
    let answer = world.get(&authority, "/").await;
    assert_eq!(answer.status, 502);
}
