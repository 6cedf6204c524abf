//! H9: what comes behind the last request of a connection is no request.

use super::{Adapter, Rig};

/// A request that is the last, the status of its answer, and whether the origin gets it.
const ROWS: &[(&str, u16, bool)] = &[
    (
        "GET {at}/last HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
        200,
        true,
    ),
    (
        "GET {at}/last HTTP/1.1\r\nHost: {host}\r\nConnection: x, CLOSE\r\n\r\n",
        200,
        true,
    ),
    ("GET {at}/last HTTP/1.0\r\nHost: {host}\r\n\r\n", 200, true),
    (
        "POST {at}/last HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
        200,
        true,
    ),
    (
        "POST {at}/last HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        200,
        true,
    ),
    (
        "GET {at}/last HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n",
        400,
        false,
    ),
    (
        "GET {at}/last HTTP/1.1\r\nHost: {host}\r\nContent-Length: +0\r\n\r\n",
        400,
        false,
    ),
];

const NEXT: &str = "GET {at}/next HTTP/1.1\r\nHost: {host}\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_the_last_request() {
    let rig = Rig::new().await;
    for adapter in [Adapter::Absolute, Adapter::Tunnel, Adapter::Http1] {
        let origin = rig.origin(adapter);
        for (last, status, arrives) in ROWS {
            let before = origin.requests().len();
            let mut wire = rig.wire(adapter).await;
            let both = [rig.text(adapter, last), rig.text(adapter, NEXT)].concat();
            wire.send(&both).await;
            let said = String::from_utf8_lossy(&wire.rest().await).into_owned();
            let what = format!("{adapter:?} {last:?}: {said}");
            assert_eq!(said.get(8..12), Some(&*format!(" {status}")), "{what}");
            assert_eq!(said.matches("HTTP/1.").count(), 1, "{what}");
            let arrived = origin.requests().split_off(before);
            assert_eq!(arrived.len(), usize::from(*arrives), "{what}");
            assert!(arrived.iter().all(|one| one.contains(" /last ")), "{what}");
        }
        // The control: behind a request that is not the last, it is one.
        let mut wire = rig.wire(adapter).await;
        let both = [rig.text(adapter, NEXT), rig.text(adapter, ROWS[0].0)].concat();
        wire.send(&both).await;
        let said = String::from_utf8_lossy(&wire.rest().await).into_owned();
        assert_eq!(
            said.matches("HTTP/1.1 200 ").count(),
            2,
            "{adapter:?} {said}"
        );
    }
}

/// Behind a 101 everything is bytes, also what was sent before it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_behind_an_upgrade_is_a_request() {
    let rig = Rig::new().await;
    let mut wire = rig.wire(Adapter::WebSocket).await;
    let handshake = rig.text(
        Adapter::WebSocket,
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    );
    let next = b"GET /next HTTP/1.1\r\nHost: evil.test\r\n\r\n";
    wire.send(&[&handshake[..], next].concat()).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(wire.exactly(1).await);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101 "),
        "{}",
        head.escape_ascii()
    );
    assert_eq!(wire.exactly(next.len()).await, next);
    let origin = rig.origin(Adapter::WebSocket);
    assert_eq!(origin.requests().len(), 1);
    drop(wire);
    rig.world
        .event("the line", |event| event.status == Some(101))
        .await;
    assert_eq!(rig.world.events().len(), 1, "one request, one line");
}
