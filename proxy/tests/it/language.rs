//! What only the policy language can say: methods and paths, lists, limits, credentials.

use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::{Canary, World, soon};

pub(crate) const CONFIG: &str = r#"{"policy":"deny","include":["team.policy"]}"#;

/// A world whose policy is `team.policy`, where `PORT` stands for the origin's port.
pub(crate) async fn world(policy: &str) -> (World, Canary, String) {
    let world = World::new(r#"{"policy":"deny"}"#).await;
    let config = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    let origin = Canary::https(config, |_| ok("hello")).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    write(&world, &origin, policy);
    world.set(CONFIG);
    let authority = format!("canary.test:{}", origin.port());
    (world, origin, authority)
}

pub(crate) fn write(world: &World, origin: &Canary, policy: &str) {
    let policy = policy.replace("PORT", &origin.port().to_string());
    std::fs::write(world.dir.path().join("team.policy"), policy).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_paths_are_judged_inside() {
    let (world, origin, authority) =
        world("allow canary.test:PORT GET,HEAD /repos/mine/**\n").await;
    let mut tunnel = world.inside(&authority).await;
    let rows = [
        ("GET", "/repos/mine/x", 200),
        ("GET", "/repos/mine/x?q=/../../", 200),
        ("POST", "/repos/mine/x", 403),
        ("GET", "/repos/other/x", 403),
        ("GET", "/repos/mine/../other/x", 403),
        ("GET", "/repos/mine/%2e%2e/other/x", 403),
        // What is sent is what is written, and this origin may not resolve it.
        ("GET", "/repos/other/../mine/x", 403),
        ("GET", "//repos/mine/x", 403),
        ("GET", "/repos/mine/../mine/x", 200),
        ("GET", "/", 403),
    ];
    for (method, path, status) in rows {
        tunnel
            .send(
                format!(
                    "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\n\r\n"
                )
                .as_bytes(),
            )
            .await;
        let answer = tunnel.answer().await.unwrap();
        assert_eq!(answer.status, status, "{method} {path} {}", answer.body);
    }
    let sent = origin.requests();
    let lines: Vec<_> = sent.iter().filter_map(|sent| sent.lines().next()).collect();
    let expected = [
        "/repos/mine/x",
        "/repos/mine/x?q=/../../",
        "/repos/mine/../mine/x",
    ];
    assert_eq!(lines, expected.map(|path| format!("GET {path} HTTP/1.1")));
    let event = world
        .event("the line", |event| event.status == Some(200))
        .await;
    let rule = event.rule.unwrap();
    assert_eq!((rule.source.as_str(), rule.line), ("team.policy", Some(1)));
    assert!(rule.text.contains("/repos/mine/**"), "{}", rule.text);
}

/// A request that no rule allows is not even resolved, on plain HTTP as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_path_is_never_resolved() {
    let canary = Canary::http(|_| ok("hello")).await;
    let world = World::new(r#"{"policy":"deny"}"#).await;
    write(&world, &canary, "allow canary.test:PORT GET /public/**\n");
    world.set(CONFIG);
    world.dns.points("canary.test", &["127.0.0.1"]);
    let authority = format!("canary.test:{}", canary.port());
    assert_eq!(world.get(&authority, "/private").await.status, 403);
    assert_eq!(world.dns.asked(), Vec::<String>::new());
    assert_eq!(world.get(&authority, "/public/x").await.status, 200);
    assert_eq!(canary.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn included_files_are_watched() {
    let (world, origin, authority) = world("").await;
    let connects = async |expected: bool| {
        soon("the change", async {
            while world.connect(&authority).await.is_ok() != expected {}
        })
        .await;
    };
    connects(false).await;
    write(&world, &origin, "allow canary.test:PORT\n");
    connects(true).await;
    // A list named by the included file.
    write(
        &world,
        &origin,
        "allow canary.test:PORT\nblock list \"hosts.txt\"\n",
    );
    std::fs::write(world.dir.path().join("hosts.txt"), "other.test\n").unwrap();
    soon("the list", async {
        while proxy::admin::status(&world.admin())
            .unwrap()
            .degraded
            .is_some()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    connects(true).await;
    std::fs::remove_file(world.dir.path().join("team.policy")).unwrap();
    let error = proxy::admin::reload(&world.admin())
        .unwrap_err()
        .to_string();
    assert!(error.contains("no such file"), "{error}");
    connects(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_kept() {
    let (world, origin, authority) = world("allow canary.test:PORT\nlimit canary.test 2/h\n").await;
    let mut tunnel = world.inside(&authority).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(tunnel.get(&authority, "/").await.unwrap());
    }
    assert_eq!(
        answers
            .iter()
            .map(|answer| answer.status)
            .collect::<Vec<_>>(),
        [200, 200, 429]
    );
    assert_eq!(answers[2].reason(), "limit");
    let wait: u64 = answers[2].field("retry-after").unwrap().parse().unwrap();
    assert!((1750..=1800).contains(&wait), "{wait}");
    assert_eq!(origin.requests().len(), 2);
}

/// What a budget has may be used, a body that would use more is cut short, and then there is 429 with the rule.
#[tokio::test(flavor = "multi_thread")]
async fn budgets_of_bytes_are_kept() {
    // A head of these is 40 bytes: method, path and fields.
    for (budget, size, whole) in [
        ("budget *.test 10B/h down", 5, [true, true, false]),
        ("budget canary.test 10B/h down", 8, [true, false, false]),
        ("budget canary.test 100B/h up", 8, [true, true, false]),
        ("budget canary.test 120B/h", 8, [true, true, false]),
        ("budget canary.test 1KB/h up", 8, [true, true, true]),
    ] {
        let (world, _, _) = world("").await;
        let config = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
        let origin = Canary::https(config, move |_| ok(&"x".repeat(size))).await;
        let authority = format!("canary.test:{}", origin.port());
        write(
            &world,
            &origin,
            &format!("allow canary.test:PORT\n{budget}\n"),
        );
        world.set(CONFIG);
        let mut came = Vec::new();
        let mut last = None;
        for _ in whole {
            let mut tunnel = world.inside(&authority).await;
            tunnel
                .send(
                    format!("GET / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")
                        .as_bytes(),
                )
                .await;
            let text = String::from_utf8(tunnel.rest().await).unwrap();
            came.push(text.ends_with(&"x".repeat(size)));
            last = Some(text);
        }
        assert_eq!(came, whole, "{budget}");
        let last = last.unwrap();
        assert_eq!(last.starts_with("HTTP/1.1 429"), !whole[2], "{last}");
        if !whole[2] {
            assert!(
                last.contains(budget) && last.contains("retry-after: "),
                "{last}"
            );
        }
    }
}

/// A tunnel that is not read ends when the budget does.
#[tokio::test(flavor = "multi_thread")]
async fn budgets_end_tunnels() {
    let (world, _, _) = world("").await;
    let origin =
        Canary::http(|_| crate::support::Reply::Echo(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())).await;
    let authority = format!("canary.test:{}", origin.port());
    write(
        &world,
        &origin,
        "allow canary.test:PORT\nbypass canary.test\nbudget canary.test 4KB/d\n",
    );
    world.set(CONFIG);
    let mut tunnel = world.connect(&authority).await.unwrap();
    tunnel.send(b"GET / HTTP/1.1\r\n\r\n").await;
    tunnel.send(&[b'x'; 8000]).await;
    tunnel.rest().await;
    let event = world
        .event("the line", |event| event.reason.is_some())
        .await;
    assert_eq!(event.reason.as_deref(), Some("limit"));
    assert!(event.message.unwrap().contains("budget canary.test 4KB/d"));
    let refused = world.connect(&authority).await.err().unwrap();
    assert_eq!((refused.status, refused.reason()), (429, "limit"));
}

/// Names beyond the budget are refused before they are resolved; names that were asked for before are not.
#[tokio::test(flavor = "multi_thread")]
async fn budgets_of_names_are_kept() {
    let canary = Canary::http(|_| ok("hello")).await;
    let world = World::new(r#"{"policy":"deny"}"#).await;
    let policy = "allow *.leak.test:PORT\nallow net 127.0.0.1/32\nbudget *.leak.test 2 names/h\n";
    // Loopback takes a rule with host and port, so the names resolve to an address nobody has.
    write(&world, &canary, policy);
    world.set(CONFIG);
    let rows = [
        ("a", 502),
        ("b", 502),
        ("a", 502),
        ("c", 403),
        ("d", 403),
        ("b", 502),
    ];
    for (name, status) in rows {
        let answer = world
            .get(&format!("{name}.leak.test:{}", canary.port()), "/")
            .await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        if status == 403 {
            assert_eq!(answer.reason(), "names-budget");
            assert!(
                answer.body.contains("budget *.leak.test 2 names/h"),
                "{}",
                answer.body
            );
        }
    }
    let mut asked = world.dns.asked();
    asked.sort();
    asked.dedup();
    assert!(
        asked
            .iter()
            .all(|name| name.starts_with("a.") || name.starts_with("b.")),
        "{asked:?}"
    );
    assert!(!asked.is_empty());
}

/// K1, K3, K6: the secret goes to its host over verified TLS, in place of what the client says, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_set_for_their_host_only() {
    const SECRET: &str = "canary-secret-2f6c";
    let world = World::new(r#"{"policy":"deny"}"#).await;
    let secret = world.dir.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let origin = Canary::https(
        world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]),
        |_| ok("hello"),
    )
    .await;
    let other = Canary::https(
        world.pki.server("other.test", Flaw::None, &[b"http/1.1"]),
        |_| ok("hello"),
    )
    .await;
    let plain = Canary::http(|_| ok("hello")).await;
    for name in ["canary.test", "other.test"] {
        world.dns.points(name, &["127.0.0.1"]);
    }
    let policy = format!(
        "allow canary.test:PORT\nallow other.test:{}\nallow canary.test:{}\ninject canary.test:PORT x-api-key from file \"{}\"\n",
        other.port(),
        plain.port(),
        secret.display(),
    );
    write(&world, &origin, &policy);
    world.set(CONFIG);

    let authority = format!("canary.test:{}", origin.port());
    let mut tunnel = world.inside(&authority).await;
    let request = |authority: &str| {
        format!(
            "GET /?key=mine&x=1 HTTP/1.1\r\nHost: {authority}\r\nX-Api-Key: mine\r\nAuthorization: Bearer mine\r\n\r\n"
        )
    };
    tunnel.send(request(&authority).as_bytes()).await;
    assert_eq!(tunnel.answer().await.unwrap().status, 200);
    let sent = origin.requests().remove(0);
    assert!(
        sent.starts_with("GET /?x=1 HTTP/1.1\r\n")
            && sent.contains(&format!("x-api-key: {SECRET}\r\n")),
        "{sent}"
    );
    assert!(!sent.contains("mine"), "{sent}");

    // Elsewhere, and in the clear on another port: what the client sent, and no secret.
    let elsewhere = format!("other.test:{}", other.port());
    let mut tunnel = world
        .connect(&elsewhere)
        .await
        .unwrap()
        .tls(&world.ca(), "other.test")
        .await
        .unwrap();
    tunnel.send(request(&elsewhere).as_bytes()).await;
    assert_eq!(tunnel.answer().await.unwrap().status, 200);
    assert_eq!(
        world
            .get(&format!("canary.test:{}", plain.port()), "/")
            .await
            .status,
        200
    );
    for canary in [&other, &plain] {
        assert!(!String::from_utf8_lossy(&canary.seen().bytes).contains(SECRET));
    }
    let log = std::fs::read_to_string(world.dir.path().join("network.jsonl")).unwrap();
    assert!(
        log.contains(r#""credential":"x-api-key""#)
            && !log.contains(SECRET)
            && !log.contains("mine"),
        "{log}"
    );

    // Rotated: used at once. Gone: the request does not leave without it.
    std::fs::write(&secret, "rotated").unwrap();
    let mut tunnel = world.inside(&authority).await;
    assert_eq!(tunnel.get(&authority, "/").await.unwrap().status, 200);
    assert!(
        origin
            .requests()
            .remove(1)
            .contains("x-api-key: rotated\r\n")
    );
    std::fs::remove_file(&secret).unwrap();
    let answer = tunnel.get(&authority, "/").await.unwrap();
    assert_eq!((answer.status, answer.reason()), (502, "credential"));
    assert_eq!(origin.requests().len(), 2);
}
