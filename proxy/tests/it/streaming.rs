//! Bodies in motion: passed on as they come, held up when the reader is slow, never gathered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::h2::{Client, Origin, piped};
use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::world::deny;
use crate::support::{Reply, Tunnel, World, soon};

/// What may be on its way in buffers of the kernel and the proxy while a reader stands still.
const IN_FLIGHT: usize = 16 * 1024 * 1024;

async fn plain() -> (World, tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("canary.test:{}", listener.local_addr().unwrap().port());
    let world = World::new(&deny(&[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    (world, listener, authority)
}

async fn ask(world: &World, authority: &str) -> Tunnel {
    let mut client = world.dial().await;
    client
        .send(format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes())
        .await;
    client
}

/// Server-sent events: the origin sends an event only when the client has read the one before, so a proxy that
/// gathered anything would stand still here.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_passed_on_one_by_one() {
    let (world, listener, authority) = plain().await;
    let mut client = ask(&world, &authority).await;
    let (mut origin, _) = soon("the request", listener.accept()).await.unwrap();
    let mut request = [0; 1024];
    soon("the head", origin.read(&mut request)).await.unwrap();
    origin.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let mut seen = String::new();
    for number in 0..50 {
        let event = format!("data: {number}\n\n");
        origin
            .write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
            .await
            .unwrap();
        while !seen.contains(&event) {
            let mut chunk = [0; 1024];
            let read = soon("an event", client.io.read(&mut chunk)).await.unwrap();
            seen += &String::from_utf8_lossy(&chunk[..read]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_passed_on_one_by_one_over_h2() {
    let world = World::new(&deny(&[])).await;
    let (events, body) = piped();
    let body = std::sync::Mutex::new(Some(body));
    let config = world.pki.server("canary.test", Flaw::None, &[b"h2"]);
    let origin = Origin::start(config, move |_| {
        Response::new(body.lock().unwrap().take().unwrap())
    })
    .await;
    let authority = format!("canary.test:{}", origin.address.port());
    world.set(&deny(&[&authority]));
    world.dns.points("canary.test", &["127.0.0.1"]);
    let client = Client::connect(&world, &authority, &[b"h2"]).await;
    let response = client
        .send(client.request("/").body(Empty::new().boxed()).unwrap())
        .await
        .unwrap();
    let mut body = response.into_body();
    for number in 0..50 {
        let event = format!("data: {number}\n\n");
        events
            .send(Frame::data(Bytes::from(event.clone())))
            .await
            .unwrap();
        let frame = soon("an event", body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
}

/// F4: an origin in a hurry is held up by a client that does not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_up_the_origin() {
    let (world, listener, authority) = plain().await;
    let mut client = ask(&world, &authority).await;
    let (mut origin, _) = soon("the request", listener.accept()).await.unwrap();
    let mut request = [0; 1024];
    soon("the head", origin.read(&mut request)).await.unwrap();
    let total = 64 * 1024 * 1024;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let sender = tokio::spawn(async move {
        origin
            .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let chunk = vec![b'x'; 64 * 1024];
        while count.load(Ordering::Relaxed) < total {
            origin.write_all(&chunk).await.unwrap();
            count.fetch_add(chunk.len(), Ordering::Relaxed);
        }
    });
    // Still once nothing has moved for a while.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::Relaxed) || before == 0 {
        before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert!(
        before < IN_FLIGHT,
        "{before} bytes were taken from the origin"
    );
    let mut read = 0;
    let mut chunk = vec![0; 256 * 1024];
    while read < total {
        read += soon("the rest", client.io.read(&mut chunk)).await.unwrap();
    }
    sender.await.unwrap();
}

/// R1: a client that asks and does not read holds a connection to the origin, but not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_let_go() {
    let limits = proxy::Limits {
        body_idle: std::time::Duration::from_millis(300),
        ..proxy::Limits::default()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("canary.test:{}", listener.local_addr().unwrap().port());
    let world = World::with(&deny(&[&authority]), limits).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    let _client = ask(&world, &authority).await;
    let (mut origin, _) = soon("the request", listener.accept()).await.unwrap();
    let mut request = [0; 1024];
    soon("the head", origin.read(&mut request)).await.unwrap();
    let endless = async {
        origin
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
            .await?;
        loop {
            origin.write_all(&[b'x'; 64 * 1024]).await?;
        }
    };
    let ended: std::io::Result<()> = soon("the end of the origin's connection", endless).await;
    ended.unwrap_err();
    let event = world
        .event("its line", |event| event.reason.is_some())
        .await;
    assert_eq!(event.status, Some(200));
}

/// The same over HTTP/2, where the proxy's own windows are what holds up.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_stream_holds_up_the_origin() {
    let world = World::new(&deny(&[])).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let config = world.pki.server("canary.test", Flaw::None, &[b"h2"]);
    let origin = Origin::start(config, move |_| {
        let count = count.clone();
        let chunks = futures::stream::repeat_with(move || {
            count.fetch_add(16 * 1024, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(vec![b'x'; 16 * 1024])))
        });
        Response::new(StreamBody::new(chunks).boxed())
    })
    .await;
    let authority = format!("canary.test:{}", origin.address.port());
    world.set(&deny(&[&authority]));
    world.dns.points("canary.test", &["127.0.0.1"]);
    let client = Client::connect(&world, &authority, &[b"h2"]).await;
    let response = client
        .send(client.request("/").body(Empty::new().boxed()).unwrap())
        .await
        .unwrap();
    let mut before = usize::MAX;
    while before != sent.load(Ordering::Relaxed) || before == 0 {
        before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert!(
        before < IN_FLIGHT,
        "{before} bytes were taken from the origin"
    );
    drop(response);
}

/// A big body arrives whole, both ways, and the proxy's memory stays where it was.
#[tokio::test(flavor = "multi_thread")]
async fn big_bodies_do_not_stay_in_memory() {
    let (world, listener, authority) = plain().await;
    let total: usize = 256 * 1024 * 1024;
    let origin = tokio::spawn(async move {
        let (mut origin, _) = listener.accept().await.unwrap();
        let mut left = total;
        let mut chunk = vec![0; 256 * 1024];
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(origin.read_u8().await.unwrap());
        }
        while left > 0 {
            left -= origin.read(&mut chunk).await.unwrap();
        }
        origin
            .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        for _ in 0..total / chunk.len() {
            origin.write_all(&chunk).await.unwrap();
        }
    });
    let before = resident();
    let mut client = world.dial().await;
    let head = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {total}\r\n\r\n"
    );
    client.send(head.as_bytes()).await;
    let mut chunk = vec![7; 256 * 1024];
    for _ in 0..total / chunk.len() {
        client.send(&chunk).await;
    }
    let mut read = 0;
    while read < total {
        read += soon("the answer", client.io.read(&mut chunk))
            .await
            .unwrap();
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes more than before");
    origin.await.unwrap();
    let event = world
        .event("the line", |event| event.method == "POST")
        .await;
    assert_eq!(
        (event.bytes_up, event.bytes_down),
        (total as u64, total as u64)
    );
}

/// Resident bytes of this process, which is proxy, client and origin in one.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// `HEAD`, 204 and 304 keep their fields and have no body; ranges are the origin's business.
#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body() {
    let (world, canary, authority) = World::around(|request| {
        Reply::Send(match request {
            request if request.starts_with("HEAD") => b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec(),
            request if request.contains("/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            request if request.contains("/304") => b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n".to_vec(),
            _ => b"HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-1/9\r\ncontent-length: 2\r\n\r\nab".to_vec(),
        })
    })
    .await;
    let mut client = world.dial().await;
    let send = |method: &str, path: &str| {
        format!(
            "{method} http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nRange: bytes=0-1\r\n\r\n"
        )
    };
    client.send(send("HEAD", "/").as_bytes()).await;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(
            soon("the head", client.io.read_u8()).await.unwrap(),
        ));
    }
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("content-length: 1000\r\n"),
        "{head}"
    );
    for (path, status, field) in [
        ("/204", 204, None),
        ("/304", 304, Some("x")),
        ("/range", 206, None),
    ] {
        client.send(send("GET", path).as_bytes()).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.field("etag")), (status, field));
    }
    assert_eq!(canary.seen().connections, 1, "all on one connection");
}

/// H7: the body waits for the origin's word, and is not sent when the origin refuses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_waits_for_continue() {
    for (word, wanted) in [
        ("100 Continue\r\n\r\n", true),
        ("417 Expectation Failed\r\ncontent-length: 0\r\n\r\n", false),
    ] {
        let (world, listener, authority) = plain().await;
        let mut client = world.dial().await;
        let head = format!(
            "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        );
        client.send(head.as_bytes()).await;
        let (mut origin, _) = soon("the request", listener.accept()).await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(soon("the head", origin.read_u8()).await.unwrap());
        }
        assert!(String::from_utf8_lossy(&asked).contains("expect: 100-continue\r\n"));
        origin
            .write_all(format!("HTTP/1.1 {word}").as_bytes())
            .await
            .unwrap();
        if wanted {
            assert_eq!(client.exactly(25).await, b"HTTP/1.1 100 Continue\r\n\r\n");
            client.send(b"body").await;
            let mut body = [0; 4];
            soon("the body", origin.read_exact(&mut body))
                .await
                .unwrap();
            origin
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
            assert_eq!(client.answer().await.unwrap().status, 200);
        } else {
            assert_eq!(client.answer().await.unwrap().status, 417);
            // The connection on which a body is owed is not used again.
            let mut rest = Vec::new();
            soon("the end", origin.read_to_end(&mut rest))
                .await
                .unwrap();
            assert_eq!(rest, b"");
        }
    }
}

/// Many requests on one connection use one connection to the origin.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_reused() {
    let (world, canary, authority) = World::around(|_| ok("hello")).await;
    for _ in 0..3 {
        let mut client = ask(&world, &authority).await;
        client.answer().await.unwrap();
    }
    assert_eq!(canary.seen().connections, 1);
}
