//! Requests two parsers could read differently: none reaches an origin.

use crate::support::origin::ok;
use crate::support::world::deny;
use crate::support::{Canary, Tunnel, World};

async fn world() -> (World, Canary, String) {
    let canary = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", canary.port());
    let world = World::new(&deny(&[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    (world, canary, authority)
}

/// Heads with `ORIGIN` for the authority, each with the status it gets and whether it may reach the origin.
const ROWS: &[(&str, u16)] = &[
    // Positive controls: the same shapes without the flaw arrive.
    ("GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 200),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 3\r\n\r\nabc",
        200,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        200,
    ),
    ("PURGE http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 200),
    // H1
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        400,
    ),
    // H2
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding: chunked;x\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding: identity\r\n\r\n",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding: \u{a0}chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.0\r\nHost: ORIGIN\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    // H3
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: +1\r\n\r\na",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 010\r\n\r\n0123456789",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length:\r\n\r\n",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 1,1\r\n\r\na",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        400,
    ),
    (
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 18446744073709551616\r\n\r\na",
        400,
    ),
    // H4
    ("GET http://ORIGIN/ HTTP/1.1\nHost: ORIGIN\n\n", 400),
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nX: a\rb\r\n\r\n",
        400,
    ),
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nX: a\0b\r\n\r\n",
        400,
    ),
    // H6
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nX: a\r\n folded\r\n\r\n",
        400,
    ),
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nX : a\r\n\r\n",
        400,
    ),
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n: a\r\n\r\n",
        400,
    ),
    ("GET http://ORIGIN/ HTTP/1.1\r\n\r\n", 400),
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nHost: ORIGIN\r\n\r\n",
        400,
    ),
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN, evil.test\r\n\r\n",
        400,
    ),
    ("GET http://ORIGIN/ HTTP/1.1\r\nHost: u@ORIGIN\r\n\r\n", 400),
    // D1
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        400,
    ),
    (
        "GET http://evil.test/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
        400,
    ),
    // H8
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nConnection: close, Transfer-Encoding\r\n\r\n",
        400,
    ),
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nConnection: Host\r\n\r\n",
        400,
    ),
    (
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nConnection: authorization\r\n\r\n",
        400,
    ),
    // H11
    ("GET * HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    ("OPTIONS * HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    ("GET ORIGIN HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    ("CONNECT / HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    (
        "CONNECT http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
        400,
    ),
    (
        "CONNECT canary.test HTTP/1.1\r\nHost: canary.test\r\n\r\n",
        400,
    ),
    ("CONNECT ORIGIN HTTP/1.1\r\nHost: evil.test\r\n\r\n", 400),
    ("GET http://ORIGIN/#f HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    ("GET http://ORIGIN\\x HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    ("GET http://ORIGIN/ x HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    ("GET https://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    ("GET ftp://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    ("GET gopher://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    ("GET ws://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    (
        "GET file:///etc/passwd HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
        400,
    ),
    // H12
    ("TRACE http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 405),
    ("TRACK http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 405),
    ("G(T http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n", 400),
    // Versions
    ("GET http://ORIGIN/ HTTP/2.0\r\nHost: ORIGIN\r\n\r\n", 400),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
];

#[tokio::test(flavor = "multi_thread")]
async fn rows() {
    let (world, canary, authority) = world().await;
    for (request, status) in ROWS {
        let before = canary.seen();
        let request = request.replace("ORIGIN", &authority);
        let mut client = Tunnel {
            io: crate::support::client::connect(world.address).await,
        };
        client.send(request.as_bytes()).await;
        let answer = client
            .answer()
            .await
            .unwrap_or_else(|| panic!("no answer: {request:?}"));
        assert_eq!(answer.status, *status, "{request:?} {answer:?}");
        if *status != 200 {
            assert!(!answer.reason().is_empty(), "{request:?}");
            assert_eq!(
                canary.seen().bytes.len(),
                before.bytes.len(),
                "{request:?} reached the origin"
            );
        } else {
            assert_eq!(canary.requests().len(), before.requests.len() + 1);
        }
    }
}

/// After a refusal the connection ends: what follows never becomes a request.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_refusal() {
    let (world, canary, authority) = world().await;
    let smuggled = format!("GET http://{authority}/smuggled HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let bad = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"
    );
    let mut client = Tunnel {
        io: crate::support::client::connect(world.address).await,
    };
    client.send(bad.as_bytes()).await;
    let rest = String::from_utf8_lossy(&client.rest().await).into_owned();
    assert!(rest.starts_with("HTTP/1.1 400 "), "{rest}");
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{rest}");
    assert_eq!(canary.seen().connections, 0);
    // Control: on its own it is an ordinary request.
    let mut client = Tunnel {
        io: crate::support::client::connect(world.address).await,
    };
    client.send(smuggled.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
}

/// A refused request after a good one is answered in its turn.
#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_their_order() {
    let (world, canary, authority) = world().await;
    let good = format!("GET http://{authority}/1 HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let bad = format!("GET http://{authority}/2 HTTP/1.1\r\nHost: {authority}\r\nHost: x\r\n\r\n");
    let mut client = Tunnel {
        io: crate::support::client::connect(world.address).await,
    };
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

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_chunk_ends_the_request() {
    let (world, canary, authority) = world().await;
    let head = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for body in [
        "3\nabc",
        "3\r\nabcX",
        "0_2\r\n",
        "-1\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "0\r\n\n",
    ] {
        let mut client = Tunnel {
            io: crate::support::client::connect(world.address).await,
        };
        client
            .send(format!("{head}{body}\r\n0\r\n\r\n").as_bytes())
            .await;
        let rest = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert!(!rest.contains("200 OK"), "{body:?} {rest}");
    }
    assert_eq!(canary.requests(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_and_extensions_are_filtered() {
    let (world, canary, authority) = world().await;
    let request = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;evil=\"x\"\r\nabc\r\n0\r\nAuthorization: secret\r\nContent-Length: 5\r\nHost: evil\r\n\r\n"
    );
    let mut client = Tunnel {
        io: crate::support::client::connect(world.address).await,
    };
    client.send(request.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    let arrived = canary.requests().remove(0);
    assert!(
        arrived.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        "{arrived:?}"
    );
    for word in ["evil", "secret"] {
        assert!(!arrived.contains(word), "{arrived:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn big_heads_are_refused() {
    let (world, canary, authority) = world().await;
    let rows = [
        (format!("X: {}\r\n", "y".repeat(64 * 1024)), 431),
        ("X: y\r\n".repeat(10_000), 431),
        ("X: y\r\n".repeat(100), 431),
        ("X: y\r\n".repeat(90), 200),
        (format!("X: {}\r\n", "y".repeat(30 * 1024)), 200),
    ];
    for (fields, status) in rows {
        let request = format!(
            "GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{fields}\r\n"
        );
        let answer = world.raw(&request).await.map(|answer| answer.status);
        assert_eq!(answer, Some(status), "{} bytes", fields.len());
    }
    assert_eq!(canary.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_runs_out_of_time() {
    let canary = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", canary.port());
    let limits = proxy::Limits {
        head: std::time::Duration::from_millis(200),
        ..proxy::Limits::default()
    };
    let world = World::with(&deny(&[&authority]), limits).await;
    let mut client = Tunnel {
        io: crate::support::client::connect(world.address).await,
    };
    client.send(b"GET http://").await;
    let began = std::time::Instant::now();
    client.rest().await;
    assert!(began.elapsed().as_secs() < 5);
}
