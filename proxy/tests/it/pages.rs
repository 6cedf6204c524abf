//! What the proxy tells about itself.

use crate::support::world::{config, deny};
use crate::support::{Reply, World};

#[tokio::test(flavor = "multi_thread")]
async fn why_explains_the_last_denials() {
    let world = World::new(&config("deny", &[], &["blocked.test"], &[])).await;
    for address in [
        "/.sandbox/why",
        "http://host.docker.internal:3128/.sandbox/why",
        "http://localhost:3128/.sandbox/why",
    ] {
        let request = format!(
            "GET {address} HTTP/1.1\r\nHost: host.docker.internal:3128\r\nConnection: close\r\n"
        );
        let before = world.raw(format!("{request}\r\n")).await.unwrap();
        assert_eq!(before.status, 200, "{address}");
        world.get("blocked.test", "/secret?q").await;
        let text = world.raw(format!("{request}\r\n")).await.unwrap().body;
        assert!(
            text.contains("GET http://blocked.test/secret denied\n"),
            "{text}"
        );
        assert!(
            text.contains("rule: block blocked.test (proxy-config.json:1)"),
            "{text}"
        );
        let json = world
            .raw(format!("{request}Accept: application/json\r\n\r\n"))
            .await
            .unwrap();
        let told: Vec<serde_json::Map<_, _>> = serde_json::from_str(&json.body).unwrap();
        let told = told.last().unwrap();
        assert_eq!(told["reason"], "host-rule");
        assert_eq!(told["rule"]["text"], "block blocked.test");
    }
}

/// Neither form tells the guest where a name leads, or by which proxy: it asked for a name.
#[tokio::test(flavor = "multi_thread")]
async fn why_tells_no_address() {
    let (world, canary, authority) = World::around(|_| Reply::SendAndDrop(Vec::new())).await;
    assert_eq!(world.get(&authority, "/x").await.reason(), "origin-closed");
    assert_eq!(
        world.told("origin-closed").await.address,
        Some(canary.address)
    );
    for (accept, words) in [
        (
            "*/*",
            &["GET", "/x", "allowed", "origin-closed", "rule"][..],
        ),
        (
            "application/json",
            &[
                "action",
                "message",
                "method",
                "reason",
                "rule",
                "sandbox",
                "timestamp",
                "type",
                "url",
            ],
        ),
    ] {
        let request = format!(
            "GET /.sandbox/why HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        let told = world.raw(request).await.unwrap().body;
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
        assert!(!told.contains("127.0.0.1"), "{told}");
        if accept == "application/json" {
            let told: Vec<serde_json::Map<_, _>> = serde_json::from_str(&told).unwrap();
            let mut keys: Vec<_> = told[0].keys().collect();
            keys.sort();
            assert_eq!(keys, words);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_the_proxys_own_only() {
    let world = World::new(&deny(&[])).await;
    let get =
        |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let rows = [
        ("/.sandbox/ca.crt", 200),
        ("/.sandbox/health", 200),
        ("/.sandbox/other", 404),
        ("/", 400),
        ("/index.html", 400),
    ];
    for (target, status) in rows {
        assert_eq!(
            world.raw(get(target)).await.unwrap().status,
            status,
            "{target}"
        );
    }
    assert_eq!(
        world.raw(get("/.sandbox/ca.crt")).await.unwrap().body,
        world.ca()
    );
    // Another host's page of that name is that host's.
    assert_eq!(world.get("evil.test", "/.sandbox/why").await.status, 403);
    assert_eq!(
        world.get("localhost:3129", "/.sandbox/why").await.status,
        403
    );
}

/// Metrics are on a listener of their own, which guests cannot reach through the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_the_host_only() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("proxy-config.json"),
        deny(&[&free.to_string()]),
    )
    .unwrap();
    let mut options = proxy::Options::new(
        "s",
        dir.path().join("proxy-config.json"),
        dir.path().join("ca"),
    );
    options.metrics = Some(free);
    let proxy = proxy::Proxy::start(options).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(proxy.clone().serve(listener));
    let ask = |target: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: {free}\r\nConnection: close\r\n\r\n")
    };
    let through =
        crate::support::client::raw(address, ask(&format!("http://{free}/metrics")).as_bytes())
            .await
            .unwrap();
    assert_eq!((through.status, through.reason()), (403, "own-listener"));
    let direct = crate::support::client::raw(free, ask("/metrics").as_bytes())
        .await
        .unwrap();
    assert!(
        direct.body.contains("\nsandbox_proxy_denied_total 1\n"),
        "{}",
        direct.body
    );
    let health = async || {
        crate::support::client::raw(free, ask("/health").as_bytes())
            .await
            .unwrap()
            .status
    };
    assert_eq!(health().await, 200);
    std::fs::write(dir.path().join("proxy-config.json"), "{").unwrap();
    crate::support::soon("degraded", async { while health().await != 503 {} }).await;
}

/// What is meant for people says what they may have meant, in the form that they can read.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_names_the_nearest_host() {
    let world = World::new(&deny(&["api.github.com", "*.example.org", "x.test"])).await;
    let rows = [
        ("api.gihtub.com", Some("api.github.com")),
        ("apis.github.com", Some("api.github.com")),
        ("example.org", Some("*.example.org")),
        ("www.api.github.com", Some("api.github.com")),
        ("github.example", None),
        ("y.test", None),
    ];
    for (host, nearest) in rows {
        let ask = |accept: &str| {
            format!(
                "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
            )
        };
        let problem = world.raw(ask("application/json")).await.unwrap();
        let told: serde_json::Value = serde_json::from_str(&problem.body).unwrap();
        assert_eq!(told["nearest"].as_str(), nearest, "{told}");
        assert_eq!(told["retryable"], false);
        let remedy = format!("sandbox network proxy s1 --allow-host {host}:80");
        assert_eq!(told["remedy"].as_str(), Some(remedy.as_str()));
        for (accept, kind) in [
            ("*/*", "text/plain; charset=utf-8"),
            (
                "text/html,application/xhtml+xml,*/*;q=0.8",
                "text/html; charset=utf-8",
            ),
        ] {
            let answer = world.raw(ask(accept)).await.unwrap();
            assert_eq!(answer.field("content-type"), Some(kind));
            assert!(answer.body.contains(&remedy), "{}", answer.body);
            let meant = answer.body.contains("Did you mean");
            assert_eq!(meant, nearest.is_some(), "{}", answer.body);
        }
    }
}

/// The leaves of refused hosts are not kept: whoever asks for many of them must not push out those of others.
#[tokio::test(flavor = "multi_thread")]
async fn only_leaves_of_admitted_hosts_are_kept() {
    let world = World::new(&deny(&["127.0.0.1:9"])).await;
    for (host, kept) in [("127.0.0.1", true), ("evil.test", false)] {
        let leaf = async || {
            let authority = format!("{host}:9");
            let opened =
                crate::support::Tunnel::open_as(world.address, &authority, "Mozilla/5.0").await;
            let tunnel = opened.ok().unwrap().tls(&world.ca(), host).await.unwrap();
            let (_, connection) = tunnel.io.get_ref();
            connection.peer_certificates().unwrap()[0].to_vec()
        };
        assert_eq!(leaf().await == leaf().await, kept, "{host}");
    }
}

/// A browser shows nobody the answer to its `CONNECT`: it is told inside TLS, and nothing is resolved or dialled.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_told_inside_tls() {
    let world = World::new(&deny(&[])).await;
    for (agent, inside) in [("curl/8.5", false), ("Mozilla/5.0 (X11)", true)] {
        let opened = crate::support::Tunnel::open_as(world.address, "evil.test:443", agent).await;
        if !inside {
            assert_eq!(opened.err().unwrap().status, 403);
            continue;
        }
        let mut tunnel = opened.unwrap().tls(&world.ca(), "evil.test").await.unwrap();
        tunnel
            .send(b"GET /page HTTP/1.1\r\nHost: evil.test\r\nAccept: text/html\r\n\r\n")
            .await;
        let answer = tunnel.answer().await.unwrap();
        assert_eq!((answer.status, answer.reason()), (403, "default"));
        assert!(
            answer.body.contains("--allow-host evil.test:443"),
            "{}",
            answer.body
        );
        let event = world
            .event("the line", |event| event.url == "https://evil.test/page")
            .await;
        assert_eq!(event.action, proxy::audit::Action::Denied);
    }
    assert_eq!(world.dns.asked(), Vec::<String>::new());
    assert_eq!(world.events().len(), 2, "one line for each");
}
