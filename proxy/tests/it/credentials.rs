//! Secrets that only the proxy knows (threats K1 to K6).

mod had;

use std::sync::Arc;

use proxy::credentials::{Handed, Handover};

use crate::language::{CONFIG, world, write};
use crate::support::client::client_config;
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, Outcome, block, frame, preface};
use crate::support::h2;
use crate::support::pki::Flaw;
use crate::support::world::deny;
use crate::support::{Canary, Reply, World};
use crate::threats::{Adapter, Rig};

const SECRET: &str = "canary/secret-2f6c";

/// A file with the secret, as a word of the language.
fn secret_file(world: &World) -> String {
    let file = world.dir.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    format!("file \"{}\"", file.display())
}

/// A world with `policy`, where `FILE` stands for a file with the secret.
async fn secretive(policy: &str) -> (World, Canary, String) {
    let (world, origin, authority) = world("").await;
    let policy = policy.replace("FILE", &secret_file(&world));
    write(&world, &origin, &policy);
    world.set(CONFIG);
    (world, origin, authority)
}

/// Sends `request` (with `HOST` for the authority) inside TLS, and returns the answer's status and reason.
async fn ask(world: &World, authority: &str, request: &str) -> (u16, String, String) {
    let mut tunnel = world.inside(authority).await;
    tunnel
        .send(request.replace("HOST", authority).as_bytes())
        .await;
    let answer = tunnel.answer().await.unwrap();
    (answer.status, answer.reason().to_owned(), answer.body)
}

/// Nothing that the proxy wrote has the secret in it.
fn assert_unwritten(world: &World) {
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "secret" {
            let bytes = std::fs::read(entry.path()).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(SECRET), "{:?}", entry.path());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_place_is_set_in_place_of_what_the_client_says() {
    let encoded = "canary%2Fsecret-2f6c";
    let get = "GET /?a=1&key=mine&t%6Fken=mine HTTP/1.1\r\nHost: HOST\r\nAuthorization: mine\r\nCookie: mine\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 23\r\n\r\na=1&token=mine&key=mine";
    let rows = [
        ("x-key from FILE", get, format!("\r\nx-key: {SECRET}\r\n")),
        (
            "authorization from FILE as \"Bearer %s\"",
            get,
            format!("\r\nauthorization: Bearer {SECRET}\r\n"),
        ),
        (
            "authorization from FILE as \"Basic me:%s\"",
            get,
            "\r\nauthorization: Basic bWU6Y2FuYXJ5L3NlY3JldC0yZjZj\r\n".into(),
        ),
        (
            "query \"token\" from FILE",
            get,
            format!("GET /?a=1&token={encoded} HTTP/1.1\r\n"),
        ),
        (
            "form \"token\" from FILE",
            post,
            format!("\r\n\r\na=1&token={encoded}"),
        ),
    ];
    for (clause, request, expected) in rows {
        let policy = format!("allow canary.test:PORT\ninject canary.test:PORT {clause}\n");
        let (world, origin, authority) = secretive(&policy).await;
        let (status, ..) = ask(&world, &authority, request).await;
        assert_eq!(status, 200, "{clause}");
        let sent = origin.requests().remove(0);
        assert!(sent.contains(&expected), "{clause}: {sent}");
        let others = sent.replace("t%6Fken=mine", "");
        assert!(!others.contains("mine"), "{clause}: {sent}");
        let event = world
            .event("the line", |event| event.status == Some(200))
            .await;
        assert!(event.credential.is_some(), "{clause}");
        assert_unwritten(&world);
    }
}

/// On other paths the credential is not set, and what the client says is removed all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_keeps_to_its_path() {
    let policy = "allow canary.test:PORT\ninject canary.test:PORT x-key from FILE on /mine/**\n";
    let (world, origin, authority) = secretive(policy).await;
    let rows = [
        ("/mine/x", true),
        ("/other", false),
        ("/mine/../other", false),
        ("/mine/%2e%2e/other", false),
        ("/mine/..%2fother", false),
    ];
    for (row, (path, set)) in rows.into_iter().enumerate() {
        let request = format!("GET {path} HTTP/1.1\r\nHost: HOST\r\nAuthorization: mine\r\n\r\n");
        assert_eq!(ask(&world, &authority, &request).await.0, 200, "{path}");
        let sent = origin.requests().remove(row);
        assert_eq!(sent.contains(SECRET), set, "{path}: {sent}");
        assert!(!sent.contains("mine\r\n"), "{path}: {sent}");
    }
}

/// T9: a connection on which one secret was said carries no request with another or none. What was opened to learn the
/// origin's protocol is nobody's yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_one_credentials() {
    const ROTATED: &str = "canary/rotated-77aa";
    // The path, what is in the file, and how many connections there were after it.
    let rows = [
        ("/mine/1", SECRET, 1),
        ("/mine/2", SECRET, 1), // the control: the same secret, the same connection
        ("/other/1", SECRET, 2),
        ("/other/2", SECRET, 2),
        ("/mine/3", SECRET, 2),
        ("/mine/4", ROTATED, 3),
        ("/mine/5", ROTATED, 3),
        ("/other/3", ROTATED, 3),
    ];
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    for (alpn, origins) in [(&both[1..], both), (both, &both[1..]), (both, both)] {
        let policy = "inject canary.test:PORT x-key from FILE on /mine/**\n";
        let (world, ..) = secretive("").await;
        let config = world.pki.server("canary.test", Flaw::None, origins);
        let origin = h2::Origin::start(config, |_| http::Response::new(h2::full("hello"))).await;
        let authority = format!("canary.test:{}", origin.address.port());
        let policy = policy.replace("FILE", &secret_file(&world));
        let policy = format!("allow {authority}\n{policy}").replace("canary.test:PORT", &authority);
        std::fs::write(world.dir.path().join("team.policy"), policy).unwrap();
        world.set(CONFIG);
        for (path, secret, connections) in rows {
            std::fs::write(world.dir.path().join("secret"), secret).unwrap();
            let tunnel = world.connect(&authority).await.unwrap();
            let config = client_config(&world.ca(), alpn);
            let mut tls = tunnel.tls_with(config, "canary.test").await.unwrap();
            let status = match tls.io.get_ref().1.alpn_protocol() {
                Some(b"h2") => h2::Client::over(tls.io, &authority).await.get(path).await.0,
                _ => tls.get(&authority, path).await.unwrap().status,
            };
            assert_eq!(status, 200, "{path}");
            let sent = origin.requests.lock().unwrap().last().unwrap().3.clone();
            let set = sent
                .get("x-key")
                .map(|value| value.to_str().unwrap().to_owned());
            let expected = path.starts_with("/mine/").then_some(secret);
            assert_eq!(set.as_deref(), expected, "{path}");
            assert_eq!(
                origin.connections(),
                connections,
                "{path} {alpn:?} {origins:?}"
            );
        }
    }
}

/// K1 to K4, through every way in: over TLS exactly one secret in place of all that the client says of itself; over plain
/// HTTP to the same host none.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_is_given_the_credential_or_none() {
    let rig = Rig::new().await;
    let file = secret_file(&rig.world);
    for (inject, adapter) in [false, true]
        .into_iter()
        .flat_map(|inject| Adapter::ALL.map(|adapter| (inject, adapter)))
    {
        let authority = rig.authority(adapter);
        let mut policy = format!("default deny\nallow {authority}\n");
        // A credential for a port that speaks no TLS is an error: the plain ways have it on the other one.
        if inject {
            let secure = rig.authority(Adapter::Http1);
            policy.push_str(&format!("inject {secure} x-key from {file}\n"));
            if !adapter.is_tls() {
                policy.push_str(&format!("allow {secure}\n"));
            }
        }
        std::fs::write(rig.world.dir.path().join("team.policy"), policy).unwrap();
        rig.world.set(CONFIG);
        let before = rig.origin(adapter).requests().len();
        let mut wire = rig.wire(adapter).await;
        if adapter == Adapter::Http2 {
            let fields = [
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", &authority),
                (":path", "/"),
                ("authorization", "mine"),
                ("x-key", "mine"),
                ("x-key", "mine"),
                ("x_key", "mine"),
                ("cookie", "mine"),
            ];
            let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields));
            wire.send(&[preface(), request].concat()).await;
            assert_eq!(wire.outcome(1).await, Outcome::Status(200));
        } else {
            let head = "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nAuthorization: mine\r\nX-Key: mine\r\nx-KEY: mine\r\nX_Key: mine\r\nCookie: mine\r\n\r\n";
            wire.send(&rig.text(adapter, head)).await;
            let answer = wire.answer().await.unwrap();
            assert!(matches!(answer.status, 101 | 200), "{adapter:?} {answer:?}");
        }
        let sent = rig.origin(adapter).requests().split_off(before);
        let [sent] = sent.as_slice() else {
            panic!("{adapter:?} {sent:?}")
        };
        let set = inject && adapter.is_tls();
        assert_eq!(
            sent.matches(SECRET).count(),
            usize::from(set),
            "{adapter:?} {sent}"
        );
        // The control: where nothing is set, all that the client says arrives.
        assert_eq!(
            sent.matches("mine").count(),
            if set { 0 } else { 5 },
            "{adapter:?} {sent}"
        );
    }
}

/// K5: what an origin echoes is masked, whatever way it is cut; lengths stay true.
#[tokio::test(flavor = "multi_thread")]
async fn an_echoed_secret_does_not_come_back() {
    let echo = |request: &str| {
        let encoded = SECRET.replace('/', "%2F");
        let body = format!("you sent {request} or {encoded}");
        let (first, second) = body.split_at(body.find("2f6c").unwrap());
        let chunks: String = [first, second]
            .map(|part| format!("{:x}\r\n{part}\r\n", part.len()))
            .concat();
        Reply::Send(
            format!("HTTP/1.1 200 OK\r\nx-echo: {SECRET}\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
                .into_bytes(),
        )
    };
    let (world, _, _) = secretive("").await;
    let config = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    let origin = Canary::https(config, echo).await;
    let authority = format!("canary.test:{}", origin.port());
    let request =
        "GET / HTTP/1.1\r\nHost: HOST\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    // The control: without the injection the same bytes come through.
    for (clause, comes_back) in [
        ("", true),
        ("inject canary.test:PORT x-key from FILE", false),
    ] {
        let policy = format!("allow canary.test:PORT\n{clause}\n");
        let policy = policy.replace("FILE", &secret_file(&world));
        write(&world, &origin, &policy);
        world.set(CONFIG);
        let mut tunnel = world.inside(&authority).await;
        tunnel
            .send(request.replace("HOST", &authority).as_bytes())
            .await;
        let all = String::from_utf8(tunnel.rest().await).unwrap();
        assert_eq!(all.contains(SECRET), comes_back, "{all}");
        assert!(
            all.contains("you sent GET / HTTP/1.1") && all.ends_with("0\r\n\r\n"),
            "{all}"
        );
        if !comes_back {
            assert!(
                !all.contains("%2Fsecret") && all.contains("******"),
                "{all}"
            );
            let sent = origin.requests().remove(1);
            assert!(sent.contains("accept-encoding: identity\r\n"), "{sent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_has_a_limit_and_a_budget() {
    let rows = [
        ("limit 2/h", [200, 200, 429]),
        ("budget 10B/h", [200, 200, 429]),
    ];
    for (clause, expected) in rows {
        let policy = format!(
            "allow canary.test:PORT\ninject canary.test:PORT x-key from FILE on /k/** {clause}\n"
        );
        let (world, origin, authority) = secretive(&policy).await;
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let request = "GET /k/ HTTP/1.1\r\nHost: HOST\r\n\r\n";
            let (status, reason, body) = ask(&world, &authority, request).await;
            if status == 429 {
                assert_eq!(reason, "limit");
                assert!(body.contains("credential x-key on canary.test"), "{body}");
            }
            statuses.push(status);
        }
        assert_eq!(statuses, expected, "{clause}");
        let elsewhere = ask(&world, &authority, "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n").await;
        assert_eq!((elsewhere.0, origin.requests().len()), (200, 3), "{clause}");
    }
}

/// What a caller hands over is used, can be renewed while the proxy runs, and reaches the proxy's successor.
#[tokio::test(flavor = "multi_thread")]
async fn handed_over_and_renewed() {
    let (world, origin, authority) =
        world("allow canary.test:PORT\ninject canary.test:PORT x-key from env SANDBOX_TEST_KEY\n")
            .await;
    let pairs = |pairs: &[(&str, &str)]| -> Handed {
        let pairs = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        pairs.collect()
    };
    let request = "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n";
    let (status, reason, body) = ask(&world, &authority, request).await;
    assert_eq!((status, reason.as_str()), (502, "credential"), "{body}");
    assert_eq!(origin.requests().len(), 0, "never sent without it");

    let first = pairs(&[("SANDBOX_TEST_KEY", "first"), ("OPENAI_API_KEY", "sk-1")]);
    let status = proxy::admin::credentials(&world.admin(), &first).unwrap();
    let names: Vec<_> = status
        .credentials
        .iter()
        .map(|active| &*active.name)
        .collect();
    assert_eq!(names, ["x-key", "openai", "openai"]);
    let told = serde_json::to_string(&status).unwrap();
    assert!(!told.contains("sk-1") && !told.contains("first"), "{told}");
    let second = pairs(&[("SANDBOX_TEST_KEY", "second")]);
    for (handed, value) in [(first, "first"), (second, "second")] {
        proxy::admin::credentials(&world.admin(), &handed).unwrap();
        assert_eq!(ask(&world, &authority, request).await.0, 200);
        let sent = origin.requests().pop().unwrap();
        assert!(sent.contains(&format!("x-key: {value}\r\n")), "{sent}");
    }

    // A proxy that starts with the memory file, and its successor with the same.
    let handover = Arc::new(Handover::create(&pairs(&[("SANDBOX_TEST_KEY", "third")])).unwrap());
    for value in ["third", "fourth"] {
        let next = World::new(&deny(&[])).await;
        let admin = next.dir.path().join("other.sock");
        let mut options =
            proxy::Options::new("s2", next.config_path(), next.dir.path().join("ca2"));
        options.handover = Some(handover.clone());
        options.admin = Some(admin.clone());
        options.dns = Some(world.dns.address);
        options.trust = Some(world.dir.path().join("origin-ca.pem"));
        std::fs::copy(
            world.dir.path().join("team.policy"),
            next.dir.path().join("team.policy"),
        )
        .unwrap();
        std::fs::write(next.config_path(), CONFIG).unwrap();
        let proxy = proxy::Proxy::start(options).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(proxy.clone().serve(listener));
        let mut tunnel = crate::support::Tunnel::open(address, &authority)
            .await
            .unwrap()
            .tls(proxy.ca_pem(), "canary.test")
            .await
            .unwrap();
        tunnel
            .send(request.replace("HOST", &authority).as_bytes())
            .await;
        assert_eq!(tunnel.answer().await.unwrap().status, 200);
        let sent = origin.requests().pop().unwrap();
        assert!(sent.contains(&format!("x-key: {value}\r\n")), "{sent}");
        proxy::admin::credentials(&admin, &pairs(&[("SANDBOX_TEST_KEY", "fourth")])).unwrap();
    }
}
