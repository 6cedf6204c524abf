//! F31, R6: a panic ends what it belongs to, is counted and logged, and nobody else notices.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use proxy::audit::Event;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::client::client_config;
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, PING, block, frame, preface};
use crate::support::world::{config, deny};
use crate::support::{Reply, Tunnel, World, soon};
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

/// Another way into a proxy, for rigged connections.
struct Door(mpsc::Sender<Rigged>);

impl Door {
    fn of(world: &World) -> Self {
        let (hand, handed) = mpsc::channel(1);
        tokio::spawn(world.proxy.clone().serve(Handed(handed)));
        Self(hand)
    }

    /// A client, and what makes the proxy's next read from it panic; so does the one after `left` bytes.
    async fn client(&self, left: usize) -> (Tunnel<DuplexStream>, Arc<AtomicBool>) {
        let (near, io) = duplex(64 * 1024);
        let now = Arc::<AtomicBool>::default();
        let told = now.clone();
        self.0.send(Rigged { io, left, now }).await.unwrap();
        (Tunnel { io: near }, told)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_connection() {
    let rig = Rig::new().await;
    let authority = rig.authority(Adapter::Absolute);
    let secure = rig.authority(Adapter::Http1);
    rig.world
        .set(&config("deny", &[&authority, &secure], &[], &[]));
    let door = Door::of(&rig.world);
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
    // What the client says before the next read panics.
    let rows = [
        (get[..10].to_owned(), "in a head"),
        (get.clone(), "behind a request"),
        (post, "in a body"),
        (format!("{upgrade}bytes"), "in a WebSocket"),
        (format!("{tunnel}{inner}"), "in a tunnel"),
        (format!("{tls}\x16\x03\x01"), "in a TLS hello"),
    ];
    for (number, (said, when)) in (1..).zip(rows) {
        let (mut client, _) = door.client(said.len()).await;
        client.send(said.as_bytes()).await;
        client.rest().await;
        let logged = async {
            while lines(&rig.world) < number {
                tokio::task::yield_now().await;
            }
        };
        soon(when, logged).await;
        let counted = rig.world.proxy.counters().panics;
        assert_eq!(counted, number as u64, "{when}");
        assert_eq!(rig.world.get(&authority, "/").await.status, 200, "{when}");
    }
    assert_eq!(lines(&rig.world), 6, "one line for each");
}

/// How many lines tell of a panic.
fn lines(world: &World) -> usize {
    let is_panic = |event: &Event| {
        let message = event.message.as_deref().unwrap_or_default();
        event.reason.as_deref() == Some("internal") && message.contains("panicked; its connection")
    };
    world
        .events()
        .iter()
        .filter(|event| is_panic(event))
        .count()
}

/// The same in the middle of HTTP/2: its streams end, at their origins as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_connection_of_many_streams() {
    let rig = Rig::answering(|_| Reply::Hang).await;
    let (origin, authority) = (rig.origin(Adapter::Http2), rig.authority(Adapter::Http2));
    let (mut client, told) = Door::of(&rig.world).client(usize::MAX).await;
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
    rig.world.told("internal").await;
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
    let (mut client, told) = Door::of(&world).client(usize::MAX).await;
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
    world.told("internal").await;
    assert_eq!(world.proxy.counters().panics, 1);
}
