//! A policy that is narrowed to some paths ends what is under way on the others, and nothing else.

use http_body_util::{BodyExt as _, Empty};
use hyper::Response;
use tokio::sync::Mutex;

use crate::language::{CONFIG, world as one};
use crate::support::h2::{Client, Origin, piped};
use crate::support::pki::Flaw;
use crate::support::world::deny;
use crate::support::{Canary, Reply, Tunnel, World, client, soon};

const NARROW: &str = "allow canary.test:PORT /kept/**\n";

const ENDLESS: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\nsome";

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: y\r\n\r\n";

fn set(world: &World, port: u16, policy: &str) {
    let policy = policy.replace("PORT", &port.to_string());
    // Renamed over: between the halves of a write in place, the policy is an empty one, which ends everything.
    let new = world.dir.path().join("team.new");
    std::fs::write(&new, policy).unwrap();
    std::fs::rename(new, world.dir.path().join("team.policy")).unwrap();
    world.set(CONFIG);
}

/// What a request under way waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Waits {
    /// The head of the answer.
    Head,
    /// The rest of its body.
    Body,
    /// Bytes of a WebSocket.
    Bytes,
}

/// Over plain HTTP and inside interception: the denied request ends, with its line; the allowed one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_on_a_denied_path_ends() {
    for waits in [Waits::Head, Waits::Body, Waits::Bytes] {
        let script = move |_: &str| match waits {
            Waits::Head => Reply::Hang,
            Waits::Body => Reply::Send(ENDLESS.to_vec()),
            Waits::Bytes => Reply::Echo(SWITCH.to_vec()),
        };
        let world = World::new(&deny(&[])).await;
        world.dns.points("canary.test", &["127.0.0.1"]);
        let tls = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
        for secure in [false, true] {
            let canary = match secure {
                true => Canary::https(tls.clone(), script).await,
                false => Canary::http(script).await,
            };
            set(&world, canary.port(), "allow canary.test:PORT\n");
            let mut ended = begin(&world, &canary, waits, secure, "/cut/x").await;
            let mut kept = begin(&world, &canary, waits, secure, "/kept/x").await;
            set(&world, canary.port(), NARROW);
            ended.rest().await;
            world
                .event("the line", |event| {
                    event.url.ends_with("/cut/x")
                        && event.url.contains(&canary.port().to_string())
                        && event.reason.as_deref() == Some("revoked")
                })
                .await;
            canary.until("its end", |seen| seen.ended == 1).await;
            match waits {
                Waits::Bytes => {
                    kept.send(b"on").await;
                    assert_eq!(kept.exactly(2).await, b"on", "{secure}");
                }
                Waits::Head | Waits::Body => {
                    assert_eq!(canary.seen().ended, 1, "{waits:?} {secure}");
                }
            }
            set(&world, canary.port(), "block canary.test\n");
            kept.rest().await;
        }
    }
}

type Io = Box<dyn Both>;

trait Both: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Both for T {}

async fn begin(
    world: &World,
    canary: &Canary,
    waits: Waits,
    secure: bool,
    path: &str,
) -> Tunnel<Io> {
    let authority = format!("canary.test:{}", canary.port());
    let before = canary.requests().len();
    let (io, base): (Io, String) = match secure {
        true => (Box::new(world.inside(&authority).await.io), String::new()),
        false => (
            Box::new(client::connect(world.address).await),
            format!("http://{authority}"),
        ),
    };
    let mut tunnel = Tunnel { io };
    let upgrade = match waits {
        Waits::Bytes => "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
        Waits::Head | Waits::Body => "",
    };
    tunnel
        .send(format!("GET {base}{path} HTTP/1.1\r\nHost: {authority}\r\n{upgrade}\r\n").as_bytes())
        .await;
    canary
        .until("the request", |seen| seen.requests.len() > before)
        .await;
    match waits {
        Waits::Head => {}
        Waits::Body => {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\nsome") {
                seen.extend(tunnel.exactly(1).await);
            }
        }
        Waits::Bytes => assert_eq!(tunnel.answer().await.unwrap().status, 101),
    }
    tunnel
}

/// Streams of one HTTP/2 connection are judged one by one: those that are denied are reset, the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn streams_on_a_denied_path_are_reset() {
    let world = World::new(&deny(&[])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    let pipes = std::sync::Arc::new(Mutex::new(Vec::new()));
    let keep = pipes.clone();
    let tls = world.pki.server("canary.test", Flaw::None, &[b"h2"]);
    let origin = Origin::start(tls, move |_| {
        let (sender, body) = piped();
        keep.try_lock().unwrap().push(sender);
        Response::new(body)
    })
    .await;
    let port = origin.address.port();
    set(&world, port, "allow canary.test:PORT\n");
    let client = Client::connect(&world, &format!("canary.test:{port}"), &[b"h2"]).await;
    let get = |path: &str| client.request(path).body(Empty::new().boxed()).unwrap();
    let mut cut = client.send(get("/cut/x")).await.unwrap().into_body();
    let mut kept = client.send(get("/kept/x")).await.unwrap().into_body();
    set(&world, port, NARROW);
    assert!(soon("a reset", cut.frame()).await.unwrap().is_err());
    world
        .event("the line", |event| {
            event.url.ends_with("/cut/x") && event.reason.as_deref() == Some("revoked")
        })
        .await;
    let sender = pipes.lock().await[1].clone();
    let more = hyper::body::Frame::data(bytes::Bytes::from_static(b"more"));
    sender.send(more).await.unwrap();
    let frame = soon("a frame", kept.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "more");
}

/// A connection that waits for its next request is not closed for the path of its last one.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_stays() {
    let (world, origin, authority) = one("allow canary.test:PORT\n").await;
    let mut tunnel = world.inside(&authority).await;
    assert_eq!(tunnel.get(&authority, "/cut/x").await.unwrap().status, 200);
    set(&world, origin.port(), NARROW);
    for (path, status) in [("/cut/x", 403), ("/kept/x", 200)] {
        let answer = tunnel.get(&authority, path).await.unwrap();
        assert_eq!(answer.status, status, "{path}");
    }
}
