//! When origins speak: too late, too early, unasked, or one byte at a time.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::world::deny;
use crate::support::{Tunnel, World, soon};

/// A proxy, and an origin whose every byte the test writes.
struct Rig {
    world: World,
    origin: TcpListener,
    authority: String,
}

impl Rig {
    async fn new(limits: proxy::Limits) -> Self {
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = format!("canary.test:{}", origin.local_addr().unwrap().port());
        let world = World::with(&deny(&[&authority]), limits).await;
        world.dns.points("canary.test", &["127.0.0.1"]);
        Self {
            world,
            origin,
            authority,
        }
    }

    async fn client(&self) -> Tunnel {
        self.world.dial().await
    }

    /// A request's head with these further fields.
    fn head(&self, method: &str, fields: &str) -> Vec<u8> {
        let authority = &self.authority;
        format!("{method} http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n")
            .into_bytes()
    }

    /// The next connection to the origin, behind the head of its first request.
    async fn asked(&self) -> TcpStream {
        let (mut stream, _) = soon("a connection", self.origin.accept()).await.unwrap();
        head_of(&mut stream).await;
        stream
    }
}

/// Reads to the end of a request's head.
async fn head_of(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("a request", stream.read_u8()).await.unwrap());
    }
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const SMUGGLED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";

/// What comes behind an answer, at once or while the connection waits, ends the connection and reaches nobody.
#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_speaks_unasked_is_not_asked_again() {
    // What is sent with the answer, and what once the client has it.
    let rows: &[(&[u8], &[u8], bool)] = &[
        (b"", b"", true), // the control: the connection is used again
        (b"", SMUGGLED, false),
        (SMUGGLED, b"", false),
        (b"\r\n", b"", false),
        (b"", b"\r\n", false),
        (b"x", SMUGGLED, false),
    ];
    for (with, later, reused) in rows {
        let rig = Rig::new(proxy::Limits::default()).await;
        let mut client = rig.client().await;
        client.send(&rig.head("GET", "")).await;
        let mut origin = rig.asked().await;
        origin.write_all(&[HELLO, with].concat()).await.unwrap();
        assert_eq!(client.answer().await.unwrap().body, "hello");
        // It may have been closed meanwhile.
        let _ = origin.write_all(later).await;
        client.send(&rig.head("GET", "")).await;
        match reused {
            true => head_of(&mut origin).await,
            false => origin = rig.asked().await,
        }
        origin.write_all(HELLO).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(
            (answer.status, &*answer.body),
            (200, "hello"),
            "{} {}",
            with.escape_ascii(),
            later.escape_ascii()
        );
    }
}

/// An answer that begins before its request has ended reaches the client at once, and the rest of the request the origin.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_does_not_stop_the_request() {
    for framing in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"] {
        let rig = Rig::new(proxy::Limits::default()).await;
        let chunked = framing.starts_with('T');
        let part = |bytes: &'static [u8]| match chunked {
            true => [b"5\r\n", bytes, b"\r\n"].concat(),
            false => bytes.to_vec(),
        };
        let mut client = rig.client().await;
        client.send(&rig.head("POST", framing)).await;
        client.send(&part(b"first")).await;
        let mut origin = rig.asked().await;
        let mut got = vec![0; part(b"first").len()];
        soon("the first part", origin.read_exact(&mut got))
            .await
            .unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n";
        origin
            .write_all(&[&head[..], b"one"].concat())
            .await
            .unwrap();
        let mut early = Vec::new();
        while !early.ends_with(b"\r\n\r\none") {
            early.push(soon("the answer", client.io.read_u8()).await.unwrap());
        }
        client.send(&part(b"other")).await;
        if chunked {
            client.send(b"0\r\n\r\n").await;
        }
        let mut got = vec![0; part(b"other").len()];
        soon("the rest", origin.read_exact(&mut got)).await.unwrap();
        assert_eq!(got, part(b"other"));
        origin.write_all(b"two").await.unwrap();
        assert_eq!(client.exactly(3).await, b"two");
    }
}

/// An origin that has heard enough says so and closes; what it said is what the client gets.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_gets_its_refusal() {
    let rig = Rig::new(proxy::Limits::default()).await;
    let mut client = rig.client().await;
    client
        .send(&rig.head("POST", "Content-Length: 1000000\r\n"))
        .await;
    let mut origin = rig.asked().await;
    origin
        .write_all(
            b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        )
        .await
        .unwrap();
    origin.shutdown().await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 413);
}

/// A head may come in any pieces, and not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_come_slowly() {
    let rig = Rig::new(proxy::Limits::default()).await;
    let mut client = rig.client().await;
    client.send(&rig.head("GET", "")).await;
    let mut origin = rig.asked().await;
    origin.set_nodelay(true).unwrap();
    for byte in HELLO {
        origin.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await.unwrap().body, "hello");

    let rig = Rig::new(proxy::Limits {
        first_byte: Duration::from_millis(300),
        ..proxy::Limits::default()
    })
    .await;
    let mut client = rig.client().await;
    client.send(&rig.head("GET", "")).await;
    let mut origin = rig.asked().await;
    // A byte now and then does not move the deadline.
    let endless = async {
        origin.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
        loop {
            origin.write_all(b"y").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended: std::io::Result<()> = soon("the end of its connection", endless).await;
    ended.unwrap_err();
    assert_eq!(client.answer().await.unwrap().status, 504);
}

/// A client that leaves takes its request to the origin with it.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_is_not_waited_for() {
    // What the origin has said by then.
    for said in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
    ] {
        let rig = Rig::new(proxy::Limits::default()).await;
        let mut client = rig.client().await;
        client.send(&rig.head("GET", "")).await;
        let mut origin = rig.asked().await;
        origin.write_all(said).await.unwrap();
        if !said.is_empty() {
            client.exactly(20).await;
        }
        drop(client);
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = soon("the end of its connection", origin.read_to_end(&mut rest)).await;
        assert_eq!(rest, b"");
    }
}
