//! Things that break: origins, clients, name servers.

use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::client::connect;
use crate::support::origin::ok;
use crate::support::world::{config, deny};
use crate::support::{Canary, Reply, World, soon};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    let (world, canary, _) = World::around(|_| ok("")).await;
    let port = canary.port();
    drop(canary);
    // The listener's task still holds the port; another one that is free stands in.
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    assert_ne!(port, free);
    world.set(&deny(&[&format!("canary.test:{free}")]));
    let answer = world.get(&format!("canary.test:{free}"), "/").await;
    assert_eq!((answer.status, answer.reason()), (502, "connect-refused"));
    world.set(&config(
        "deny",
        &[&format!("canary.test:{free}")],
        &[],
        &["canary.test"],
    ));
    let answer = world
        .connect(&format!("canary.test:{free}"))
        .await
        .err()
        .unwrap();
    assert_eq!((answer.status, answer.reason()), (502, "connect-refused"));
}

/// F8: one dead address among several costs little.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_address_is_passed_over() {
    let (world, _canary, authority) = World::around(|_| ok("hello")).await;
    world.dns.points(
        "canary.test",
        &["127.0.0.2", "127.0.0.3", "::1", "127.0.0.1"],
    );
    let began = std::time::Instant::now();
    assert_eq!(world.get(&authority, "/").await.status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

/// Sockets at 127.0.0.1, .2 and .3 with one port. Whoever connects to the second hears nothing: its queue is full.
async fn neighbours() -> (TcpListener, Silent, TcpListener) {
    loop {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = live.local_addr().unwrap().port();
        let silent = TcpSocket::new_v4().unwrap();
        let free = silent.bind(([127, 0, 0, 2], port).into());
        if let (Ok(()), Ok(other)) = (free, TcpListener::bind(("127.0.0.3", port)).await) {
            return (live, Silent::new(silent).await, other);
        }
    }
}

/// A listener with room for one connection, and that connection.
struct Silent {
    _listener: TcpListener,
    _held: TcpStream,
}

impl Silent {
    async fn new(socket: TcpSocket) -> Self {
        // Linux takes one connection more than the backlog, and drops each SYN that comes after (listen(2)).
        let listener = socket.listen(0).unwrap();
        let held = connect(listener.local_addr().unwrap()).await;
        Self {
            _listener: listener,
            _held: held,
        }
    }
}

/// F8: an address that says nothing costs one head start (RFC 8305 §8), and who is tried next was judged.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_address_is_not_waited_for() {
    const HEAD_START: Duration = Duration::from_millis(250);
    // Judged or not: the proxy's own listener is what no rule opens. The control is the same without that guard.
    for judged in [false, true] {
        let (live, _silent, other) = neighbours().await;
        let own = other.local_addr().unwrap();
        let live = Canary::http_on(live, |_| ok("live"));
        let other = Canary::http_on(other, |_| ok("other"));
        let authority = format!("canary.test:{}", live.port());
        let world = World::made(&deny(&[&authority]), |options| {
            options.listeners.extend((!judged).then_some(own));
        })
        .await;
        let addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"];
        world.dns.points("canary.test", &addresses);
        let began = std::time::Instant::now();
        let answer = world.get(&authority, "/").await;
        let took = began.elapsed();
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body, if judged { "other" } else { "live" });
        assert!(took >= HEAD_START, "the silent one was not tried: {took:?}");
        assert!(took < proxy::Limits::default().connect / 2, "{took:?}");
        let reached = [&live, &other].map(|canary| canary.seen().connections);
        assert_eq!(reached, if judged { [0, 1] } else { [1, 0] });
        let event = world.event("the line", |event| event.method == "GET").await;
        let dialled = if judged { other.address } else { live.address };
        assert_eq!(event.address, Some(dialled));
    }
}

/// A kept connection that the origin closed meanwhile costs a retry, not an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_connection_is_replaced() {
    let (world, canary, authority) = World::around(|_| {
        Reply::SendAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec())
    })
    .await;
    for _ in 0..5 {
        assert_eq!(world.get(&authority, "/").await.status, 200);
    }
    assert_eq!(canary.seen().connections, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_turned_away() {
    let limits = proxy::Limits {
        connections: 2,
        ..proxy::Limits::default()
    };
    let (world, _canary, authority) = World::around_with(limits, |_| ok("hello")).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = world.dial().await;
        client
            .send(
                format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes(),
            )
            .await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        held.push(client);
    }
    let mut third = world.dial().await;
    let answer = third.answer().await.unwrap();
    assert_eq!((answer.status, answer.reason()), (503, "busy"));
    drop(held);
    soon("room", async {
        while world
            .raw(format!(
                "GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
            ))
            .await
            .is_none_or(|answer| answer.status != 200)
        {}
    })
    .await;
}

/// However many connections they come on: over HTTP/2 there may be a hundred on each.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_turned_away() {
    let limits = proxy::Limits {
        requests: 2,
        ..proxy::Limits::default()
    };
    let (world, canary, authority) = World::around_with(limits, |_| Reply::Hang).await;
    let asking = async || {
        let mut client = world.dial().await;
        let request = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        client.send(request.as_bytes()).await;
        client
    };
    let held = [asking().await, asking().await];
    canary.until("both", |seen| seen.requests.len() == 2).await;
    let answer = asking().await.answer().await.unwrap();
    assert_eq!((answer.status, answer.reason()), (503, "busy"));
    drop(held);
    canary.until("their end", |seen| seen.ended == 2).await;
    let _held = asking().await;
    canary
        .until("another", |seen| seen.requests.len() == 3)
        .await;
}

/// Draining lets a request finish and takes no new connection.
#[tokio::test(flavor = "multi_thread")]
async fn shutdown_drains() {
    let (world, canary, authority) = World::around(|_| Reply::Hang).await;
    let mut client = world.dial().await;
    client
        .send(format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes())
        .await;
    canary
        .until("the request", |seen| seen.requests.len() == 1)
        .await;
    let shutdown = tokio::spawn({
        let proxy = world.proxy.clone();
        async move { proxy.shutdown().await }
    });
    drop(client);
    soon("the shutdown", shutdown).await.unwrap();
    assert_eq!(world.proxy.counters().open_connections, 0);
}
