//! A refusal among other requests on the same connection.

use crate::support::World;
use crate::support::origin::ok;

/// After a refusal the connection ends: what follows never becomes a request.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_refusal() {
    let (world, canary, authority) = World::around(|_| ok("hello")).await;
    let smuggled = format!("GET http://{authority}/smuggled HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let bad = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"
    );
    let mut client = world.dial().await;
    client.send(bad.as_bytes()).await;
    let rest = String::from_utf8_lossy(&client.rest().await).into_owned();
    assert!(rest.starts_with("HTTP/1.1 400 "), "{rest}");
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{rest}");
    assert_eq!(canary.seen().connections, 0);
    // Control: on its own it is an ordinary request.
    let mut client = world.dial().await;
    client.send(smuggled.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
}

/// A refused request after a good one is answered in its turn.
#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_their_order() {
    let (world, canary, authority) = World::around(|_| ok("hello")).await;
    let good = format!("GET http://{authority}/1 HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let bad = format!("GET http://{authority}/2 HTTP/1.1\r\nHost: {authority}\r\nHost: x\r\n\r\n");
    let mut client = world.dial().await;
    client
        .send(format!("{good}{good}{bad}{good}").as_bytes())
        .await;
    let rest = String::from_utf8_lossy(&client.rest().await).into_owned();
    let statuses: Vec<_> = rest
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &rest[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "200", "400"], "{rest}");
    assert_eq!(canary.requests().len(), 2);
}
