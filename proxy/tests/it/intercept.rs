//! Interception: TLS ended, judged request by request, verified anew.

use rustls::CipherSuite;

use crate::support::client::client_config;
use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::world::deny;
use crate::support::{Canary, World};

async fn world(flaw: Flaw) -> (World, Canary, String) {
    let world = World::new(&deny(&[])).await;
    let origin = Canary::https(
        world.pki.server("canary.test", flaw, &[b"http/1.1"]),
        |_| ok("hello"),
    )
    .await;
    let authority = format!("canary.test:{}", origin.port());
    world.set(&deny(&[&authority]));
    world.dns.points("canary.test", &["127.0.0.1"]);
    (world, origin, authority)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_read_judged_and_carried() {
    let (world, origin, authority) = world(Flaw::None).await;
    let mut tunnel = world.inside(&authority).await;
    // The client names AES-256 first.
    let suite = tunnel.io.get_ref().1.negotiated_cipher_suite().unwrap();
    assert_eq!(suite.suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
    for path in ["/1?secret=x", "/2", "/3"] {
        let answer = tunnel.get(&authority, path).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    }
    assert_eq!(
        origin.seen().connections,
        1,
        "the connection to the origin is reused"
    );
    assert!(origin.requests()[0].starts_with(&format!(
        "GET /1?secret=x HTTP/1.1\r\nhost: {authority}\r\n"
    )));
    let lines: Vec<_> = world
        .events()
        .iter()
        .map(|event| event.url.clone())
        .collect();
    assert_eq!(
        lines,
        ["1", "2", "3"].map(|path| format!("https://{authority}/{path}"))
    );
    assert!(
        world
            .events()
            .iter()
            .all(|event| event.carriage == Some(proxy::audit::Carriage::Intercept))
    );
}

/// D2, D5
#[tokio::test(flavor = "multi_thread")]
async fn the_server_name_must_be_the_connect_host() {
    let (world, origin, authority) = world(Flaw::None).await;
    for name in ["evil.test", "www.canary.test"] {
        let error = world
            .connect(&authority)
            .await
            .unwrap()
            .tls(&world.ca(), name)
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("UnrecognisedName") || error.contains("UnrecognizedName"),
            "{name}: {error}"
        );
    }
    assert_eq!(origin.seen().connections, 0);
    // Without a name, the leaf is for the CONNECT host.
    let mut config = client_config(&world.ca(), &[]);
    config.enable_sni = false;
    let mut tunnel = world
        .connect(&authority)
        .await
        .unwrap()
        .tls_with(config, "canary.test")
        .await
        .unwrap();
    assert_eq!(tunnel.get(&authority, "/").await.unwrap().status, 200);
}

/// D4, D10
#[tokio::test(flavor = "multi_thread")]
async fn requests_inside_stay_with_their_host() {
    let (world, origin, authority) = world(Flaw::None).await;
    let rows = [
        ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_owned(), 421),
        (
            format!("GET https://evil.test/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            421,
        ),
        (
            format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            421,
        ),
        (
            "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n".to_owned(),
            405,
        ),
        (
            format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            405,
        ),
        (
            format!("TRACE / HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            405,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: {authority}\r\nHost: x\r\n\r\n"),
            400,
        ),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            400,
        ),
    ];
    for (request, status) in rows {
        let mut tunnel = world.inside(&authority).await;
        tunnel.send(request.as_bytes()).await;
        assert_eq!(tunnel.answer().await.unwrap().status, status, "{request:?}");
    }
    assert_eq!(origin.requests(), Vec::<String>::new());
    let mut tunnel = world.inside(&authority).await;
    let control = format!("GET https://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    tunnel.send(control.as_bytes()).await;
    assert_eq!(tunnel.answer().await.unwrap().status, 200);
}

/// T1
#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_does_not_verify_is_a_502() {
    let rows = [
        (Flaw::None, 200, ""),
        (Flaw::Expired, 502, "origin-cert-expired"),
        (Flaw::WrongHost, 502, "origin-cert-host"),
        (Flaw::UnknownAuthority, 502, "origin-cert-authority"),
    ];
    for (flaw, status, reason) in rows {
        let (world, origin, authority) = world(flaw).await;
        let mut tunnel = world.inside(&authority).await;
        let answer = tunnel.get(&authority, "/").await.unwrap();
        assert_eq!(
            (answer.status, answer.reason()),
            (status, reason),
            "{flaw:?}"
        );
        assert_eq!(
            origin.requests().len(),
            usize::from(status == 200),
            "{flaw:?}"
        );
    }
}

/// K10
#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_the_proxy_stays_with_the_proxy() {
    let (world, origin, authority) = world(Flaw::None).await;
    let mut tunnel = world.inside(&authority).await;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Basic c2VjcmV0\r\nAuthorization: Bearer mine\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings\r\nKeep-Alive: 5\r\nTE: trailers\r\n\r\n"
    );
    tunnel.send(request.as_bytes()).await;
    assert_eq!(tunnel.answer().await.unwrap().status, 200);
    let expected =
        format!("GET / HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer mine\r\n\r\n");
    assert_eq!(origin.requests(), [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_is_asked_for_every_request() {
    let (world, origin, authority) = world(Flaw::None).await;
    let mut tunnel = world.inside(&authority).await;
    assert_eq!(tunnel.get(&authority, "/1").await.unwrap().status, 200);
    // A policy that still allows it leaves the connection alone.
    world.set(&deny(&[&authority, "other.test"]));
    assert_eq!(tunnel.get(&authority, "/2").await.unwrap().status, 200);
    assert_eq!(world.events().last().unwrap().generation, 3);
    // One that does not, closes it.
    world.set(&deny(&["other.test"]));
    assert_eq!(tunnel.rest().await, b"");
    assert_eq!(world.connect(&authority).await.err().unwrap().status, 403);
    assert_eq!(origin.requests().len(), 2);
    origin
        .until("the origin's connection to end", |seen| seen.ended == 1)
        .await;
}

/// A client that does not trust the authority leaves a line that says so.
#[tokio::test(flavor = "multi_thread")]
async fn distrust_is_recorded() {
    let (world, origin, authority) = world(Flaw::None).await;
    let stranger = std::fs::read_to_string(world.dir.path().join("origin-ca.pem")).unwrap();
    assert!(
        world
            .connect(&authority)
            .await
            .unwrap()
            .tls(&stranger, "canary.test")
            .await
            .is_err()
    );
    let event = world
        .event("the line", |event| {
            event.reason.as_deref() == Some("client-tls")
        })
        .await;
    assert_eq!(event.target, Some(authority));
    assert_eq!(origin.seen().connections, 0);
}
