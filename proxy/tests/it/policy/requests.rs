//! A request reaches the addresses that its own rule opens, whatever other rules open for other requests to its host.

use http_body_util::{BodyExt as _, Empty};
use hyper::Response;

use crate::support::h2::{Client, Origin, full};
use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::world::deny;
use crate::support::{Canary, Reply, World};

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: y\r\n\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n";

async fn world() -> World {
    let world = World::new(&deny(&[])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    world
}

/// Puts `policy` in force, where `PORT` stands for `port`.
fn set(world: &World, port: u16, policy: &str) {
    let beside = world.dir.path().join("team.new");
    std::fs::write(&beside, policy.replace("PORT", &port.to_string())).unwrap();
    std::fs::rename(beside, world.dir.path().join("team.policy")).unwrap();
    world.set(r#"{"include":["team.policy"]}"#);
}

/// Whatever allows the requests that the exact rule is not about.
const OTHERS: [&str; 4] = [
    "default allow\n",
    "allow *\n",
    "allow *.test:PORT\n",
    // Exact, and without the port that opens this machine.
    "allow canary.test\n",
];

const EXACT: &str = "allow canary.test:PORT GET /open/**\n";

/// What the client sends it through.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    AbsoluteForm,
    PlainTunnel,
    Intercepted,
}

impl Way {
    async fn ask(self, world: &World, port: u16, path: &str, more: &str) -> (u16, String) {
        let authority = format!("canary.test:{port}");
        let head = |base: &str| {
            format!("GET {base}{path} HTTP/1.1\r\nHost: {authority}\r\n{more}\r\n").into_bytes()
        };
        let answer = match self {
            Self::AbsoluteForm => {
                let mut client = world.dial().await;
                client.send(&head(&format!("http://{authority}"))).await;
                client.answer().await
            }
            Self::PlainTunnel => {
                let mut client = world.connect(&authority).await.unwrap();
                client.send(&head("")).await;
                client.answer().await
            }
            Self::Intercepted => {
                let mut client = world.inside(&authority).await;
                client.send(&head("")).await;
                client.answer().await
            }
        };
        let answer = answer.unwrap();
        (answer.status, answer.reason().to_owned())
    }
}

/// The connection that the allowed request has left behind is not for the other one either.
#[tokio::test(flavor = "multi_thread")]
async fn another_rule_does_not_open_this_machine() {
    let script = |head: &str| match head.contains("upgrade") {
        true => Reply::Echo(SWITCH.to_vec()),
        false => ok("hello"),
    };
    let world = world().await;
    let tls = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    for way in [Way::AbsoluteForm, Way::PlainTunnel, Way::Intercepted] {
        let canary = match way {
            Way::Intercepted => Canary::https(tls.clone(), script).await,
            Way::AbsoluteForm | Way::PlainTunnel => Canary::http(script).await,
        };
        for others in OTHERS {
            set(&world, canary.port(), &format!("{others}{EXACT}"));
            for (more, status) in [("", 200), (UPGRADE, 101)] {
                let before = canary.requests().len();
                let open = way.ask(&world, canary.port(), "/open/x", more).await;
                assert_eq!(open.0, status, "{way:?} {others} {more}");
                let shut = way.ask(&world, canary.port(), "/shut", more).await;
                assert_eq!(shut, (403, "this-machine".into()), "{way:?} {others}");
                assert_eq!(canary.requests().len(), before + 1, "{way:?} {others}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_rule_does_not_open_it_to_a_stream_either() {
    let world = world().await;
    let tls = world.pki.server("canary.test", Flaw::None, &[b"h2"]);
    let origin = Origin::start(tls, |_| Response::new(full("hello"))).await;
    let port = origin.address.port();
    for others in OTHERS {
        set(&world, port, &format!("{others}{EXACT}"));
        let client = Client::connect(&world, &format!("canary.test:{port}"), &[b"h2"]).await;
        assert_eq!(client.get("/open/x").await.0, 200, "{others}");
        let shut = client.request("/shut").body(Empty::new().boxed()).unwrap();
        let shut = client.send(shut).await.unwrap();
        let reason = shut.headers().get("x-sandbox-reason").unwrap();
        assert_eq!(
            (shut.status().as_u16(), reason.as_bytes()),
            (403, &b"this-machine"[..])
        );
    }
    assert_eq!(origin.requests.lock().unwrap().len(), OTHERS.len());
}

/// Networks that are blocked, and the metadata service.
#[tokio::test(flavor = "multi_thread")]
async fn another_rule_does_not_open_networks() {
    let rows = [
        ("canary.test:8080", "block-cidr"),
        ("169.254.169.254:80", "metadata"),
    ];
    let world = world().await;
    world.dns.points("canary.test", &["10.0.0.1"]);
    for (authority, reason) in rows {
        let (host, port) = authority.split_once(':').unwrap();
        let policy = format!("default allow\nallow {host} GET /open\n");
        set(&world, port.parse().unwrap(), &policy);
        let answer = world.get(authority, "/shut").await;
        assert_eq!((answer.status, answer.reason()), (403, reason));
    }
}

/// What is under way and what is kept for later: a new policy under which the exact rule is about other requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_rule_closes_this_machine_to_the_others() {
    let world = world().await;
    let canary = Canary::http(|head| match head.contains("upgrade") {
        true => Reply::Echo(SWITCH.to_vec()),
        false => ok("hello"),
    })
    .await;
    let authority = format!("canary.test:{}", canary.port());
    let ask = |path: &str| {
        format!("GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n{UPGRADE}\r\n")
            .into_bytes()
    };
    set(&world, canary.port(), "allow canary.test:PORT\n");
    assert_eq!(world.get(&authority, "/shut").await.status, 200);
    let (mut open, mut shut) = (world.dial().await, world.dial().await);
    open.send(&ask("/open/x")).await;
    assert_eq!(open.answer().await.unwrap().status, 101);
    shut.send(&ask("/shut")).await;
    assert_eq!(shut.answer().await.unwrap().status, 101);

    set(&world, canary.port(), &format!("default allow\n{EXACT}"));
    shut.rest().await;
    open.send(b"on").await;
    assert_eq!(open.exactly(2).await, b"on");
    let answer = world.get(&authority, "/shut").await;
    assert_eq!((answer.status, answer.reason()), (403, "this-machine"));
    assert_eq!(world.get(&authority, "/open/x").await.status, 200);
}

/// What servers take for another request than the one that was judged.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_another_to_its_server() {
    let world = world().await;
    let canary = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", canary.port());
    let ask = async |method: &str, path: &str, field: &str| {
        let request = format!(
            "{method} http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n{field}Connection: close\r\n\r\n"
        );
        let answer = world.raw(request).await.unwrap();
        (answer.status, answer.reason().to_owned())
    };
    let overrides = [
        "X-HTTP-Method-Override: DELETE\r\n",
        "x-http-method: DELETE\r\n",
        "X_Method_Override: DELETE\r\n",
        "X-Original-URL: /shut\r\n",
        "X-Rewrite-Url: /shut\r\n",
    ];
    set(
        &world,
        canary.port(),
        "allow canary.test:PORT\nblock canary.test:PORT DELETE\n",
    );
    assert_eq!(ask("delete", "/x", "").await, (403, "odd-method".into()));
    for field in overrides {
        assert_eq!(ask("POST", "/x", field).await.0, 200, "{field}");
    }
    assert_eq!(ask("GET", "?x=1", "").await.0, 200);
    let sent = canary.requests();
    assert!(
        sent.iter()
            .all(|head| !head.contains("DELETE") && !head.contains("/shut")),
        "{sent:?}"
    );
    assert!(
        sent.last().unwrap().starts_with("GET /?x=1 HTTP/1.1\r\n"),
        "{sent:?}"
    );

    // Where no rule is about requests they are the server's business.
    set(&world, canary.port(), "allow canary.test:PORT\n");
    assert_eq!(ask("delete", "/x", "").await.0, 200);
    for field in overrides {
        assert_eq!(ask("POST", "/x", field).await.0, 200, "{field}");
    }
    let sent = canary.requests().split_off(overrides.len() + 2);
    let kept = sent
        .iter()
        .filter(|head| head.contains("DELETE") || head.contains("/shut"));
    assert_eq!(kept.count(), overrides.len());
}
