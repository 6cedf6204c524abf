//! The log, as written by a running proxy.

mod floods;
mod openings;

use proxy::audit::{Action, Carriage, Kind, Stage};

use crate::support::origin::ok;
use crate::support::world::config;
use crate::support::{Canary, World};

#[tokio::test(flavor = "multi_thread")]
async fn one_line_for_each_request() {
    let canary = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", canary.port());
    let world = World::new(&config("deny", &[&authority], &["blocked.test"], &[])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    world.get(&authority, "/data?token=secret").await;
    world.get("blocked.test", "/x").await;
    world.raw("GET / HTTP/1.1\r\n\r\n").await;

    let [allowed, denied, malformed] = <[_; 3]>::try_from(world.events()).unwrap();
    assert_eq!(allowed.sandbox, "s1");
    assert_eq!(
        (allowed.kind, allowed.method.as_str(), allowed.action),
        (Kind::Request, "GET", Action::Allowed)
    );
    assert_eq!(allowed.url, format!("http://{authority}/data"));
    assert_eq!(
        (allowed.target, allowed.address),
        (Some(authority.clone()), Some(canary.address))
    );
    assert_eq!(
        (allowed.carriage, allowed.stage),
        (Some(Carriage::Plain), Some(Stage::Done))
    );
    assert_eq!(
        (allowed.status, allowed.bytes_down, allowed.reason),
        (Some(200), 5, None)
    );
    let rule = allowed.rule.unwrap();
    assert_eq!(
        (rule.text, rule.source, rule.line),
        (
            format!("allow {authority}"),
            "proxy-config.json".into(),
            Some(1)
        )
    );
    assert_eq!(allowed.generation, 1);

    assert_eq!(
        (denied.action, denied.status, denied.stage),
        (Action::Denied, Some(403), Some(Stage::Host))
    );
    assert_eq!(denied.reason.as_deref(), Some("host-rule"));
    assert_eq!(denied.rule.unwrap().text, "block blocked.test");
    assert_eq!(
        (malformed.status, malformed.reason.as_deref()),
        (Some(400), Some("malformed"))
    );

    let log = std::fs::read_to_string(world.dir.path().join("network.jsonl")).unwrap();
    assert!(!log.contains("secret"), "{log}");
    let counters = world.proxy.counters();
    assert_eq!(
        (
            counters.requests,
            counters.allowed,
            counters.denied,
            counters.failed
        ),
        (3, 1, 2, 0)
    );
}

/// R8: what a guest writes cannot forge a line or run a terminal.
#[tokio::test(flavor = "multi_thread")]
async fn guests_cannot_write_lines() {
    let world = World::new(r#"{"policy":"deny"}"#).await;
    let long = "p".repeat(5000);
    for path in [
        "/%0a%1b[31m",
        "/\"},{\"action\":\"allowed\"",
        &format!("/{long}"),
    ] {
        world.raw(format!("GET http://evil.test{path} HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n")).await;
    }
    let events = world.events();
    assert_eq!(events.len(), 3);
    assert!(
        events
            .iter()
            .all(|event| event.action == Action::Denied && event.url.len() < 1100)
    );
}

/// What a URI may carry besides host and path stays out of the log, also where the request is refused for it.
#[tokio::test(flavor = "multi_thread")]
async fn no_line_has_a_password_or_a_query() {
    let (world, canary, authority) = World::around(|_| ok("hello")).await;
    let rows = [
        (
            "GET http://bob:hunter2@canary.test/x",
            "canary.test",
            "bad-target",
        ),
        (
            "GET ftp://bob:hunter2@canary.test/x",
            "canary.test",
            "scheme",
        ),
        (
            "GET http://canary.test/x",
            "bob:hunter2@canary.test",
            "malformed",
        ),
        (
            "CONNECT bob:hunter2@canary.test:443",
            "canary.test",
            "bad-target",
        ),
        (
            "CONNECT canary.test:443",
            "bob:hunter2@canary.test",
            "malformed",
        ),
    ];
    for (line, host, reason) in rows {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(world.raw(request).await.unwrap().reason(), reason, "{line}");
    }
    let mut tunnel = world.connect(&authority).await.unwrap();
    let inside =
        format!("GET https://{authority}/x?token=hunter2 HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    tunnel.send(inside.as_bytes()).await;
    assert_eq!(tunnel.answer().await.unwrap().reason(), "misdirected");

    assert_eq!((world.events().len(), canary.requests().len()), (6, 0));
    let log = std::fs::read_to_string(world.dir.path().join("network.jsonl")).unwrap();
    assert!(!log.contains("hunter2") && !log.contains("bob"), "{log}");
    assert!(log.contains(r#""url":"canary.test/x""#), "{log}");
}

/// F10: what cannot be recorded is not let through, after a bounded backlog.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_closes_the_proxy() {
    let canary = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", canary.port());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("proxy-config.json"),
        config(
            "deny",
            &[&authority.replace("canary.test", "localhost")],
            &[],
            &[],
        ),
    )
    .unwrap();
    let mut options = proxy::Options::new(
        "s",
        dir.path().join("proxy-config.json"),
        dir.path().join("ca"),
    );
    options.log = Some("/dev/full".into());
    options.limits.log_backlog = 3;
    let proxy = proxy::Proxy::start(options).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(proxy.clone().serve(listener));
    let request = format!(
        "GET http://localhost:{}/ HTTP/1.1\r\nConnection: close\r\nHost: localhost:{}\r\n\r\n",
        canary.port(),
        canary.port()
    );
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(
            crate::support::client::raw(address, request.as_bytes())
                .await
                .unwrap()
                .status,
        );
    }
    assert_eq!(statuses, [200, 200, 200, 503, 503]);
    assert_eq!(canary.requests().len(), 3);
}
