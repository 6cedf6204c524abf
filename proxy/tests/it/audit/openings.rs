//! A `CONNECT` that is intercepted: one line for it and its first request, or its own if none comes.

use proxy::audit::{Action, Event, Stage};

use crate::support::client::{Tunnel, client_config};
use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::world::config;
use crate::support::{Canary, World};

/// When the client goes away.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Leave {
    BeforeHello,
    AfterHandshake,
    AfterOneByte,
    AfterHttp2Handshake,
}

const LEAVES: [Leave; 4] = [
    Leave::BeforeHello,
    Leave::AfterHandshake,
    Leave::AfterOneByte,
    Leave::AfterHttp2Handshake,
];

const BLOCKED: &str = "blocked.test:443";

async fn world() -> (World, Canary, String) {
    let world = World::new(&config("deny", &[], &[], &[])).await;
    let server = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    let canary = Canary::https(server, |_| ok("hello")).await;
    let authority = format!("canary.test:{}", canary.port());
    world.set(&config("deny", &[&authority], &["blocked.test"], &[]));
    world.dns.points("canary.test", &["127.0.0.1"]);
    (world, canary, authority)
}

/// Opens a tunnel, and ends it as told. What the proxy still says is read, so that nothing ends by a reset.
async fn visit(world: &World, authority: &str, agent: &str, leave: Leave) {
    let Ok(mut tunnel) = Tunnel::open_as(world.address, authority, agent).await else {
        return;
    };
    let alpn: &[&[u8]] = match leave {
        Leave::BeforeHello => return tunnel.leave().await,
        Leave::AfterOneByte => {
            tunnel.send(b"G").await;
            return tunnel.leave().await;
        }
        Leave::AfterHandshake => &[b"http/1.1"],
        Leave::AfterHttp2Handshake => &[b"h2"],
    };
    let (host, _) = authority.split_once(':').unwrap();
    let tls = tunnel.tls_with(client_config(&world.ca(), alpn), host);
    tls.await.unwrap().leave().await;
}

/// The only line there is, once there is one.
async fn only_line(world: &World, what: &str) -> Event {
    let event = world.event(what, |_| true).await;
    assert_eq!(world.events().len(), 1, "{what}");
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_without_a_request_has_its_own_line() {
    for agent in ["curl/8.5.0", "Mozilla/5.0 (X11)"] {
        for leave in LEAVES {
            let what = format!("allowed, {agent}, {leave:?}");
            let (world, _canary, authority) = world().await;
            visit(&world, &authority, agent, leave).await;
            let event = only_line(&world, &what).await;
            assert_eq!(
                event.to_string().split_once(" sandbox").unwrap().1,
                format!("=s1 request CONNECT {authority} allowed")
            );
            assert_eq!(event.target.as_ref(), Some(&authority), "{what}");
            assert_eq!(
                (event.generation, event.stage),
                (2, Some(Stage::Client)),
                "{what}"
            );
            assert_eq!(
                event.rule.unwrap().text,
                format!("allow {authority}"),
                "{what}"
            );
            let aborted = leave == Leave::BeforeHello;
            assert_eq!(
                event.reason.as_deref(),
                aborted.then_some("client-abort"),
                "{what}"
            );
            let counters = world.proxy.counters();
            let counted = (
                counters.requests,
                counters.open_requests,
                counters.allowed,
                counters.denied,
            );
            assert_eq!(
                (counted, counters.failed),
                ((1, 0, 1, 0), aborted.into()),
                "{what}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_connect_is_denied_however_it_ends() {
    for agent in ["curl/8.5.0", "Mozilla/5.0 (X11)"] {
        for leave in LEAVES {
            let what = format!("denied, {agent}, {leave:?}");
            let (world, ..) = world().await;
            visit(&world, BLOCKED, agent, leave).await;
            let event = only_line(&world, &what).await;
            assert_eq!(
                (event.action, event.method.as_str()),
                (Action::Denied, "CONNECT"),
                "{what}"
            );
            assert_eq!(
                (event.status, event.stage),
                (Some(403), Some(Stage::Host)),
                "{what}"
            );
            assert_eq!(
                (event.generation, event.reason.as_deref()),
                (2, Some("host-rule")),
                "{what}"
            );
            assert_eq!(event.rule.unwrap().text, "block blocked.test", "{what}");
            let counters = world.proxy.counters();
            let counted = (
                counters.requests,
                counters.open_requests,
                counters.allowed,
                counters.denied,
            );
            assert_eq!(counted, (1, 0, 0, 1), "{what}");
        }
    }
}

/// The question that the origin was asked before there was a request is in the line too.
#[tokio::test(flavor = "multi_thread")]
async fn an_origin_dialled_for_nothing_is_named() {
    let (world, canary, authority) = world().await;
    let config = client_config(&world.ca(), &[b"h2", b"http/1.1"]);
    let tunnel = world.connect(&authority).await.unwrap();
    let mut tls = tunnel.tls_with(config, "canary.test").await.unwrap();
    tls.leave().await;
    let event = only_line(&world, "a line").await;
    assert_eq!(
        (canary.seen().connections, event.address),
        (1, Some(canary.address))
    );
}

/// The first request has the line, and is not counted twice or taken back.
#[tokio::test(flavor = "multi_thread")]
async fn requests_have_one_line_each() {
    let (world, _canary, authority) = world().await;
    let requests = || world.proxy.counters().requests;
    let mut tunnel = world.inside(&authority).await;
    let mut counted = vec![requests()];
    for path in ["/1", "/2"] {
        assert_eq!(tunnel.get(&authority, path).await.unwrap().status, 200);
        counted.push(requests());
    }
    tunnel.send(b"GET /\x01 HTTP/1.1\r\n\r\n").await;
    assert_eq!(tunnel.answer().await.unwrap().status, 400);
    tunnel.leave().await;
    counted.push(requests());
    assert_eq!(counted, [1, 1, 2, 3]);

    let browser = Tunnel::open_as(world.address, BLOCKED, "Mozilla/5.0").await;
    let mut browser = browser
        .ok()
        .unwrap()
        .tls(&world.ca(), "blocked.test")
        .await
        .unwrap();
    assert_eq!(browser.get("blocked.test", "/x").await.unwrap().status, 403);
    browser.leave().await;
    // This one's line shows that no other came before it.
    visit(&world, &authority, "curl/8.5.0", Leave::AfterHandshake).await;
    world
        .event("the last line", |event| event.method == "CONNECT")
        .await;
    let lines: Vec<_> = world
        .events()
        .iter()
        .map(|event| (event.method.clone(), event.action))
        .collect();
    let get = |action| ("GET".to_owned(), action);
    assert_eq!(
        lines,
        [
            get(Action::Allowed),
            get(Action::Allowed),
            (String::new(), Action::Denied),
            get(Action::Denied),
            ("CONNECT".to_owned(), Action::Allowed),
        ]
    );
}
