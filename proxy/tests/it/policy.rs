//! Policy over the wire: who gets through, what a denial says, and changes while running.

mod addresses;
mod damage;
mod requests;
mod saving;

use std::time::Instant;

use crate::support::origin::ok;
use crate::support::world::{config, deny};
use crate::support::{Canary, Reply, World};

/// A world with one origin, which `policy` decides about, and its authority; `PORT` stands for its port.
async fn world(policy: &str) -> (World, Canary, String) {
    let canary = Canary::http(|_| ok("hello")).await;
    let world = World::new(&policy.replace("PORT", &canary.port().to_string())).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    let authority = format!("canary.test:{}", canary.port());
    (world, canary, authority)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_request_arrives_rebuilt() {
    let (world, canary, authority) = world(&deny(&["canary.test:PORT"])).await;
    let request = format!(
        "GET http://{authority}/a?q=1 HTTP/1.1\r\nHost: {authority}\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic c2VjcmV0\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nAccept: */*\r\n\r\n"
    );
    let answer = world.raw(request).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    assert_eq!(answer.field("x-sandbox-reason"), None);
    let expected = format!("GET /a?q=1 HTTP/1.1\r\nhost: {authority}\r\naccept: */*\r\n\r\n");
    assert_eq!(canary.requests(), [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_names_host_rule_and_remedy() {
    let (world, canary, _) = world(&config("deny", &[], &["blocked.test"], &[])).await;
    let rows = [
        (
            "canary.test",
            "default",
            "none; the default decided",
            "--allow-host canary.test:80",
        ),
        (
            "blocked.test",
            "host-rule",
            "block blocked.test (proxy-config.json:1)",
            "--remove-host blocked.test",
        ),
    ];
    for (host, reason, rule, remedy) in rows {
        let answer = world.get(host, "/").await;
        assert_eq!((answer.status, answer.reason()), (403, reason));
        assert_eq!(
            answer.field("content-type"),
            Some("text/plain; charset=utf-8")
        );
        for part in [host, rule, &format!("sandbox network proxy s1 {remedy}\n")] {
            assert!(answer.body.contains(part), "{part} in {}", answer.body);
        }
        let tunnel = world.connect(&format!("{host}:80")).await.err().unwrap();
        assert_eq!(
            (tunnel.status, tunnel.reason(), tunnel.body.as_str()),
            (403, reason, answer.body.as_str())
        );
    }
    assert_eq!(canary.seen().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_for_its_port() {
    let (world, _canary, authority) = world(&deny(&["canary.test:443", "*.test:443"])).await;
    assert_eq!(world.get(&authority, "/").await.status, 403);
    assert_eq!(
        world.connect("canary.test:22").await.err().unwrap().status,
        403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_policy_would_refuse_is_closed() {
    let canary = Canary::http(|_| {
        Reply::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nsome".to_vec())
    })
    .await;
    let authority = format!("canary.test:{}", canary.port());
    let world = World::new(&config("deny", &[&authority], &[], &[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    // A bypassed tunnel, and a plain answer still on its way.
    let mut tunnel = world.connect(&authority).await.unwrap();
    tunnel.send(b"raw bytes\r\n\r\n").await;
    let mut plain = world.dial().await;
    plain
        .send(format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes())
        .await;
    canary
        .until("both to arrive", |seen| seen.requests.len() == 2)
        .await;

    let cut = Instant::now();
    world.set(&config("deny", &["other.test"], &[], &[]));
    tunnel.rest().await;
    plain.rest().await;
    assert!(cut.elapsed().as_millis() < 1000, "{:?}", cut.elapsed());
    canary.until("both to end", |seen| seen.ended == 2).await;
    world
        .event("the tunnel's line", |event| {
            event.method == "CONNECT" && event.reason.as_deref() == Some("revoked")
        })
        .await;
    world
        .event("the request's line", |event| {
            event.method == "GET" && event.reason.as_deref() == Some("revoked")
        })
        .await;
}
