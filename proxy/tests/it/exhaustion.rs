//! What runs out, what stands still and what panics: each ends by itself, and the others go on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http_body_util::BodyExt as _;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::client::{client_config, connect};
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, PING, block, frame, preface};
use crate::support::h2::{Client, full};
use crate::support::network;
use crate::support::origin::ok;
use crate::support::world::{config, deny};
use crate::support::{Canary, Reply, Tunnel, World, soon};
use crate::threats::{Adapter, Rig};

/// A connection whose reads panic after so many bytes, or once it is told to.
struct Rigged {
    io: DuplexStream,
    left: usize,
    now: Arc<AtomicBool>,
}

impl AsyncRead for Rigged {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        assert!(
            self.left > 0 && !self.now.load(Ordering::Relaxed),
            "injected"
        );
        let mut bytes = vec![0; self.left.min(buf.remaining())];
        let mut part = ReadBuf::new(&mut bytes);
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut part);
        buf.put_slice(part.filled());
        self.left -= part.filled().len();
        polled
    }
}

impl AsyncWrite for Rigged {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Connections that a test hands over.
struct Handed(mpsc::Receiver<Rigged>);

impl proxy::Accept for Handed {
    type Io = Rigged;

    async fn accept(&mut self) -> std::io::Result<Rigged> {
        match self.0.recv().await {
            Some(io) => Ok(io),
            None => std::future::pending().await,
        }
    }
}

/// F31, R6: a panic ends its connection, is counted and logged, and nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_connection() {
    let rig = Rig::new().await;
    let authority = rig.authority(Adapter::Absolute);
    let secure = rig.authority(Adapter::Http1);
    rig.world
        .set(&config("deny", &[&authority, &secure], &[], &[]));
    let (hand, handed) = mpsc::channel(1);
    tokio::spawn(rig.world.proxy.clone().serve(Handed(handed)));
    let get = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let post = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 100\r\n\r\nabc"
    );
    let upgrade = get.replace(
        "\r\n\r\n",
        "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    let tunnel = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let inner = format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let tls = format!("CONNECT {secure} HTTP/1.1\r\nHost: {secure}\r\n\r\n");
    // What the client says, after how many bytes reading panics, and when that is.
    let rows = [
        (get[..10].to_owned(), 10, "in a head"),
        (get.clone(), get.len(), "behind a request"),
        (post.clone(), post.len(), "in a body"),
        (
            format!("{upgrade}bytes"),
            upgrade.len() + 5,
            "in a WebSocket",
        ),
        (
            format!("{tunnel}{inner}"),
            tunnel.len() + inner.len(),
            "in a tunnel",
        ),
        (
            format!("{tls}\x16\x03\x01"),
            tls.len() + 3,
            "in a TLS hello",
        ),
    ];
    for (number, (said, left, when)) in rows.into_iter().enumerate() {
        let (near, far) = duplex(64 * 1024);
        let now = Arc::default();
        hand.send(Rigged { io: far, left, now }).await.unwrap();
        let mut client = Tunnel { io: near };
        client.send(said.as_bytes()).await;
        client.rest().await;
        let counted = async {
            while rig.world.proxy.counters().panics <= number as u64 {
                tokio::task::yield_now().await;
            }
        };
        soon(when, counted).await;
        assert_eq!(
            rig.world.proxy.counters().panics,
            number as u64 + 1,
            "{when}"
        );
        rig.world
            .event(when, |event| event.reason.as_deref() == Some("internal"))
            .await;
        assert_eq!(rig.world.get(&authority, "/").await.status, 200, "{when}");
    }
    let logged = rig.world.events();
    let logged = logged.iter().filter(|event| {
        event
            .message
            .as_deref()
            .is_some_and(|message| message.contains("panicked; its connection"))
    });
    assert_eq!(logged.count(), 6, "one line for each");
}

/// The same in the middle of HTTP/2: its streams end, at their origins as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_connection_of_many_streams() {
    let rig = Rig::answering(|_| Reply::Hang).await;
    let (origin, authority) = (rig.origin(Adapter::Http2), rig.authority(Adapter::Http2));
    let (hand, handed) = mpsc::channel(1);
    tokio::spawn(rig.world.proxy.clone().serve(Handed(handed)));
    let (near, io) = duplex(64 * 1024);
    let now = Arc::<AtomicBool>::default();
    let (left, told) = (usize::MAX, now.clone());
    hand.send(Rigged { io, left, now }).await.unwrap();
    let mut client = Tunnel { io: near };
    let connect = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    client.send(connect.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    let config = Arc::new(client_config(&rig.world.ca(), &[b"h2"]));
    let tls = tokio_rustls::TlsConnector::from(config);
    let tls = tls.connect("canary.test".try_into().unwrap(), client.io);
    let io = soon("a handshake", tls).await.unwrap();
    let mut client = Tunnel { io };
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", &*authority),
        (":path", "/"),
    ];
    let ask = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&fields));
    client.send(&[preface(), ask(1), ask(3)].concat()).await;
    origin.until("both", |seen| seen.requests.len() == 2).await;
    told.store(true, Ordering::Relaxed);
    client.send(&frame(PING, 0, 0, &[7; 8])).await;
    client.rest().await;
    origin
        .until("both to end", |seen| seen.ended == seen.connections)
        .await;
    rig.world
        .event("its line", |event| {
            event.reason.as_deref() == Some("internal")
        })
        .await;
    assert_eq!(rig.world.proxy.counters().panics, 1);
}

/// The same in the task that sends the rest of a request while its answer is already being read.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_beside_an_early_answer_ends_the_exchange() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("canary.test:{}", listener.local_addr().unwrap().port());
    let world = World::new(&deny(&[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    let origin = tokio::spawn(async move {
        let (mut origin, _) = listener.accept().await.unwrap();
        let mut some = [0; 4096];
        assert!(origin.read(&mut some).await.unwrap() > 0);
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
        origin.write_all(half).await.unwrap();
        while let Ok(1..) = origin.read(&mut some).await {}
    });
    let (hand, handed) = mpsc::channel(1);
    tokio::spawn(world.proxy.clone().serve(Handed(handed)));
    let (near, io) = duplex(64 * 1024);
    let now = Arc::<AtomicBool>::default();
    let (left, told) = (usize::MAX, now.clone());
    hand.send(Rigged { io, left, now }).await.unwrap();
    let mut client = Tunnel { io: near };
    let post = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 100\r\n\r\nabc"
    );
    client.send(post.as_bytes()).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nabc") {
        answer.extend(client.exactly(1).await);
    }
    told.store(true, Ordering::Relaxed);
    client.send(b"d").await;
    client.rest().await;
    soon("the origin to be let go", origin).await.unwrap();
    world
        .event("its line", |event| {
            event.reason.as_deref() == Some("internal")
        })
        .await;
    assert_eq!(world.proxy.counters().panics, 1);
}

/// C4, R1: a tunnel in which nobody has spoken yet is taken back like any other, and idles like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_is_not_forgotten() {
    let rig = Rig::new().await;
    let authority = rig.authority(Adapter::Tunnel);
    for bypassed in [&["canary.test"][..], &[]] {
        rig.world.set(&config("deny", &[&authority], &[], bypassed));
        let mut tunnel = rig.world.connect(&authority).await.unwrap();
        let cut = Instant::now();
        rig.world.set(&deny(&[]));
        assert_eq!(tunnel.rest().await, b"");
        assert!(
            cut.elapsed() < Duration::from_secs(1),
            "{bypassed:?} {:?}",
            cut.elapsed()
        );
        rig.world
            .event("the line", |event| {
                event.reason.as_deref() == Some("revoked")
            })
            .await;
    }
    let limits = proxy::Limits {
        tunnel_idle: Duration::from_millis(200),
        ..proxy::Limits::default()
    };
    let rig = Rig::with(limits, |_| Reply::Hang).await;
    let mut tunnel = rig.open_tunnel().await;
    assert_eq!(tunnel.rest().await, b"");
    rig.world
        .event("the line", |event| {
            event.reason.as_deref() == Some("stalled")
        })
        .await;
}

/// A tunnel in which nobody speaks does not hold up the end of the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_does_not_hold_up_a_shutdown() {
    let limits = proxy::Limits {
        drain: Duration::from_millis(200),
        ..proxy::Limits::default()
    };
    let rig = Rig::with(limits, |_| ok("hello")).await;
    let _silent = rig.open_tunnel().await;
    let _unread = rig
        .world
        .connect(&rig.authority(Adapter::Http1))
        .await
        .unwrap();
    let began = Instant::now();
    soon("the shutdown", rig.world.proxy.shutdown()).await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

/// Who was let in just before the end, and has not asked yet, is answered: plain, in a tunnel, and behind interception.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_hears_out_who_was_let_in() {
    for adapter in [Adapter::Absolute, Adapter::Tunnel, Adapter::Http1] {
        let rig = Rig::with(proxy::Limits::default(), |_| ok("hello")).await;
        let mut wires = Vec::new();
        for _ in 0..4 {
            wires.push(rig.wire(adapter).await);
        }
        let authority = rig.authority(adapter);
        let path = match adapter {
            Adapter::Absolute => format!("http://{authority}/"),
            _ => "/".to_owned(),
        };
        let asking = async {
            for wire in &mut wires {
                let answer = wire.get(&authority, &path).await;
                assert_eq!(answer.map(|answer| answer.status), Some(200), "{adapter:?}");
            }
            drop(wires);
        };
        let shutdown = rig.world.proxy.shutdown();
        soon("the end", async { tokio::join!(shutdown, asking) }).await;
    }
}

/// R1, T7: whoever says a little and then nothing is let go, however it came.
#[tokio::test(flavor = "multi_thread")]
async fn half_sentences_run_out_of_time() {
    let limits = proxy::Limits {
        head: Duration::from_millis(200),
        idle: Duration::from_millis(300),
        handshake: Duration::from_millis(300),
        ..proxy::Limits::default()
    };
    let rig = Rig::with(limits, |_| ok("hello")).await;
    let secure = rig.authority(Adapter::Http1);
    for begin in [
        "",
        "G",
        "GET http://",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\nX: ",
    ] {
        let mut client = Tunnel {
            io: connect(rig.world.address).await,
        };
        client.send(begin.as_bytes()).await;
        assert_eq!(client.rest().await, b"", "{begin:?}");
    }
    let mut hello = Vec::new();
    let config = Arc::new(client_config(&rig.world.ca(), &[]));
    let name = "canary.test".try_into().unwrap();
    rustls::ClientConnection::new(config, name)
        .unwrap()
        .write_tls(&mut hello)
        .unwrap();
    // Nothing, half a record, a record in which the hello is not over, and a hello without what follows.
    for length in [0, 3, 40, hello.len()] {
        let mut tunnel = rig.world.connect(&secure).await.unwrap();
        tunnel.send(&hello[..length]).await;
        tunnel.rest().await;
    }
    for adapter in [Adapter::Tunnel, Adapter::Http1] {
        let mut wire = rig.wire(adapter).await;
        wire.send(b"GET / HT").await;
        wire.rest().await;
        // After an answer, the connection waits for the next question no longer than this.
        let mut wire = rig.wire(adapter).await;
        wire.send(&rig.text(adapter, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(wire.answer().await.unwrap().status, 200);
        wire.rest().await;
    }
}

/// T7: a hello in pieces is a hello.
#[tokio::test(flavor = "multi_thread")]
async fn a_hello_may_come_byte_by_byte() {
    let rig = Rig::new().await;
    let secure = rig.authority(Adapter::Http1);
    let tunnel = rig.world.connect(&secure).await.unwrap();
    let (near, far) = duplex(1);
    tokio::spawn(async move {
        let (mut far, mut io) = (far, tunnel.io);
        let _ = tokio::io::copy_bidirectional_with_sizes(&mut far, &mut io, 1, 4096).await;
    });
    let tls = tokio_rustls::TlsConnector::from(Arc::new(client_config(&rig.world.ca(), &[])));
    let io = soon(
        "a handshake",
        tls.connect("canary.test".try_into().unwrap(), near),
    )
    .await;
    let mut tunnel = Tunnel { io: io.unwrap() };
    assert_eq!(tunnel.get(&secure, "/").await.unwrap().status, 200);
}

/// R2: connections over the limit are turned away at once, and those within it do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_leaves_room_for_those_within() {
    let limits = proxy::Limits {
        connections: 20,
        ..proxy::Limits::default()
    };
    let rig = Rig::with(limits, |_| ok("hello")).await;
    let authority = rig.authority(Adapter::Absolute);
    let get = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let mut within = Tunnel {
        io: connect(rig.world.address).await,
    };
    within.send(get.as_bytes()).await;
    assert_eq!(within.answer().await.unwrap().status, 200);
    // One after the other: three hundred at once are more than the kernel keeps for a busy proxy, and it drops some.
    let mut flood = Vec::new();
    for _ in 0..300 {
        flood.push(Tunnel {
            io: connect(rig.world.address).await,
        });
    }
    // Those that got in say nothing, and stay until the head's deadline; the others are answered at once.
    let mut answers: FuturesUnordered<_> = flood.iter_mut().map(Tunnel::answer).collect();
    let mut turned_away = 0;
    while turned_away < 250 {
        let answer = soon("a refusal", answers.next()).await.unwrap();
        turned_away += usize::from(answer.is_some_and(|answer| answer.status == 503));
    }
    drop(answers);
    within.send(get.as_bytes()).await;
    assert_eq!(within.answer().await.unwrap().status, 200);
}

/// R3, F19: without descriptors the proxy waits and answers 502, does not spin, and goes on when there are some.
#[test]
fn descriptors_may_run_out() {
    const CHILD: &str = "PROXY_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        // The limit is the process's, so this runs in one of its own.
        let test = "exhaustion::descriptors_may_run_out";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(without_descriptors());
}

async fn without_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let canary = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", canary.port());
    let world = World::new(&deny(&[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    assert_eq!(world.get(&authority, "/").await.status, 200);
    let stat = std::fs::File::open("/proc/self/stat").unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(open + 24),
            maximum,
        },
    )
    .unwrap();
    // Clients of the same process take what is left: the proxy's `accept` fails, too.
    let mut held = Vec::new();
    while let Ok(socket) = tokio::net::TcpSocket::new_v4() {
        held.push(socket);
    }
    assert!(!held.is_empty());
    let mut clients = Vec::new();
    for _ in 0..4 {
        // A free one goes to a client, and none is left to accept it with.
        held.pop();
        #[expect(
            clippy::disallowed_methods,
            reason = "a test is a client of the proxy, not the proxy"
        )]
        let client = tokio::net::TcpStream::connect(world.address).await;
        clients.extend(client);
        while let Ok(socket) = tokio::net::TcpSocket::new_v4() {
            held.push(socket);
        }
    }
    let (spent, began) = (cpu(&stat), Instant::now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let share = (cpu(&stat) - spent).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < 0.5, "{share} of a core is spent on waiting");
    drop((held, clients));
    let again = async { while world.try_get(&authority, "/").await != Some(200) {} };
    soon("an answer again", again).await;
}

/// F19: with no local port left, an origin is a 502 that says so, others are reached, and it goes on when there are some.
#[tokio::test(flavor = "multi_thread")]
async fn local_ports_may_run_out() {
    const PORTS: usize = 8;
    if !network::is_own("exhaustion::local_ports_may_run_out") {
        return;
    }
    let rig = Rig::answering(|request| match request.starts_with("GET /held") {
        true => Reply::Hang,
        false => ok("hello"),
    })
    .await;
    // One connection to the proxy, however many it opens: clients need ports, too.
    let authority = rig.authority(Adapter::Http2);
    let client = Client::connect(&rig.world, &authority, &[b"h2"]).await;
    assert_eq!(client.get("/").await.0, 200);
    let range = format!("40000 {}", 40000 + PORTS - 1);
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).unwrap();
    let asked = 2 * PORTS;
    let mut held: FuturesUnordered<_> = (0..asked)
        .map(|number| {
            let request = client.request(&format!("/held{number}"));
            let sender = client.sender.clone();
            let body = full("");
            async move { { sender }.send_request(request.body(body).unwrap()).await }
        })
        .collect();
    let (mut refused, origin) = (0, rig.origin(Adapter::Http2));
    // The connection on which the first request was answered is used again.
    while refused < asked - PORTS - 1 {
        let answer = soon("a refusal", held.next()).await.unwrap().unwrap();
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.headers()["x-sandbox-reason"], "connect-no-port");
        let page = soon("its page", answer.into_body().collect())
            .await
            .unwrap();
        let page = String::from_utf8(page.to_bytes().to_vec()).unwrap();
        assert!(page.contains("no local port left"), "{page}");
        refused += 1;
    }
    origin
        .until("the others", |seen| {
            seen.requests.len() == 1 + asked - refused
        })
        .await;
    // A port is taken for one address and port only.
    let other = rig.authority(Adapter::Absolute);
    assert_eq!(rig.world.get(&other, "/").await.status, 200);
    drop(held);
    let again = async { while client.get("/").await.0 != 200 {} };
    soon("an answer again", again).await;
    assert_eq!(rig.world.proxy.counters().panics, 0);
}

/// What this process has spent. The file is open already: there may be no descriptor for another.
fn cpu(stat: &std::fs::File) -> Duration {
    let mut text = [0; 1024];
    let length = std::os::unix::fs::FileExt::read_at(stat, &mut text, 0).unwrap();
    let text = std::str::from_utf8(&text[..length]).unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
