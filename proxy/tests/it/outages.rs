//! What breaks around the proxy, behind [`crate::faults`]: early answers, name servers that lie, TLS that fails.

use std::process::Command;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::client::connect;
use crate::support::dns::{Dns, Zone};
use crate::support::network;
use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::world::deny;
use crate::support::{Canary, Reply, World, soon};
use crate::threats::{Adapter, Rig};

/// F1: an origin that resets after a whole answer has answered, and its connection is not used again; one that resets
/// in a tunnel ends the tunnel.
#[tokio::test(flavor = "multi_thread")]
async fn resets_after_the_answer_and_in_a_tunnel() {
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec();
    let rig = Rig::answering(move |_| Reply::SendAndReset(whole.clone())).await;
    for adapter in [Adapter::Absolute, Adapter::Tunnel, Adapter::Http1] {
        for _ in 0..3 {
            let mut wire = rig.wire(adapter).await;
            let request = "GET {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n";
            wire.send(&rig.text(adapter, request)).await;
            let answer = wire.answer().await.unwrap();
            // Over TLS the reset may overtake the answer; it is never a shorter one.
            let fine = (answer.status, answer.body.as_str()) == (200, "hello");
            assert!(fine || answer.status == 502, "{adapter:?} {answer:?}");
        }
    }
    let mut tunnel = rig.open_tunnel().await;
    tunnel.send(b"x\r\n\r\n").await;
    tunnel.rest().await;
    let event = rig
        .world
        .event("the line", |event| event.method == "CONNECT")
        .await;
    assert!(event.bytes_up >= 5, "{event:?}");
}

/// F2: a client that has said all it will is still answered, in a tunnel and through absolute form.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_said_all_is_still_answered() {
    let rig =
        Rig::answering(|_| Reply::SendAndClose(b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec())).await;
    for adapter in [Adapter::Tunnel, Adapter::Http1] {
        let mut wire = rig.wire(adapter).await;
        wire.send(&rig.text(
            adapter,
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
        ))
        .await;
        let rest = String::from_utf8_lossy(&wire.rest().await).into_owned();
        assert!(rest.contains("hello"), "{adapter:?} {rest}");
    }
    let mut tunnel = rig.open_tunnel().await;
    tunnel.send(b"question\r\n\r\n").await;
    tunnel.io.shutdown().await.unwrap();
    assert!(tunnel.rest().await.ends_with(b"hello"));
}

/// F6: an answer before the upload is over is handed on, and the connections end with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_ends_the_upload() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("canary.test:{}", listener.local_addr().unwrap().port());
    let world = World::new(&deny(&[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    let origin = tokio::spawn(async move {
        let (mut origin, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = origin.read(&mut head).await.unwrap();
        let answer =
            b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n";
        origin.write_all(answer).await.unwrap();
        origin.shutdown().await.unwrap();
        // What still comes is little: nobody reads on for ever.
        let mut taken = 0;
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = origin.read(&mut chunk).await {
            taken += read;
        }
        taken
    });
    let total: usize = 64 * 1024 * 1024;
    let mut client = connect(world.address).await;
    let head = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {total}\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = client.into_split();
    let uploading = tokio::spawn(async move {
        let chunk = vec![7; 64 * 1024];
        for _ in 0..total / chunk.len() {
            if writer.write_all(&chunk).await.is_err() {
                return false;
            }
        }
        true
    });
    let mut answer = Vec::new();
    let _ = soon("the answer", reader.read_to_end(&mut answer)).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 413 "),
        "{}",
        answer.escape_ascii()
    );
    assert!(
        !soon("the upload to end", uploading).await.unwrap(),
        "all of it was taken"
    );
    assert!(soon("the origin", origin).await.unwrap() < total);
}

/// F7: name servers that cut short, lie about the question, or go round in circles; and one that comes back.
#[tokio::test(flavor = "multi_thread")]
async fn name_servers_that_lie() {
    let canary = Canary::http(|_| ok("hello")).await;
    let port = canary.port();
    let world = World::new(r#"{"policy":"deny","network":{"allowedDomains":["*.test"]}}"#).await;
    for (name, zone) in [
        ("cut.test", Zone::Truncated),
        ("number.test", Zone::WrongNumber),
        ("loop.test", Zone::Loop),
    ] {
        world.dns.set(name, zone);
        let began = Instant::now();
        let answer = world.get(&format!("{name}:{port}"), "/").await;
        assert_eq!(answer.status, 502, "{name} {}", answer.body);
        assert!(
            answer.reason().starts_with("dns-"),
            "{name} {}",
            answer.reason()
        );
        assert!(
            began.elapsed() < Duration::from_secs(7),
            "{name} {:?}",
            began.elapsed()
        );
    }
    assert_eq!(canary.seen().connections, 0);
    // Within the five seconds that a failure is remembered at most, it is found again.
    world.set(&deny(&[&format!("back.test:{port}")]));
    world
        .dns
        .set("back.test", Zone::Code(ResponseCode::ServFail));
    assert_eq!(
        world.get(&format!("back.test:{port}"), "/").await.status,
        502
    );
    world.dns.points("back.test", &["127.0.0.1"]);
    let again = async { while world.get(&format!("back.test:{port}"), "/").await.status != 200 {} };
    soon("the name", again).await;
}

/// F7: this machine comes into another network while the proxy runs, and has other name servers there.
#[tokio::test(flavor = "multi_thread")]
async fn the_machines_name_servers_may_change() {
    if !network::is_own("outages::the_machines_name_servers_may_change") {
        return;
    }
    let config = tempfile::NamedTempFile::new().unwrap();
    let bind = [
        "--bind",
        config.path().to_str().unwrap(),
        "/etc/resolv.conf",
    ];
    assert!(Command::new("mount").args(bind).status().unwrap().success());
    let canary = Canary::http(|_| ok("hello")).await;
    let networks = [("127.0.0.2", "first.test"), ("127.0.0.3", "second.test")];
    let targets = networks.map(|(_, name)| format!("{name}:{}", canary.port()));
    let mut world = None;
    for ((server, name), target) in networks.iter().zip(&targets) {
        std::fs::write(config.path(), format!("nameserver {server}\n")).unwrap();
        let dns = Dns::on(&format!("{server}:53")).await;
        dns.points(name, &["127.0.0.1"]);
        if world.is_none() {
            let allowed = targets.each_ref().map(String::as_str);
            world = Some(World::made(&deny(&allowed), |options| options.dns = None).await);
        }
        let world = world.as_ref().unwrap();
        let found = async { while world.get(target, "/").await.status != 200 {} };
        soon(name, found).await;
        assert!(dns.asked().contains(&format!("{name}.")));
    }
}

/// N12: names that nobody answers for are not asked for all at once.
#[tokio::test(flavor = "multi_thread")]
async fn lookups_at_once_are_limited() {
    let world = World::new(r#"{"policy":"deny","network":{"allowedDomains":["*.test"]}}"#).await;
    let mut clients = Vec::new();
    for name in (0..100).map(|number| format!("n{number}.test")) {
        world.dns.set(&name, Zone::Silent);
        let mut client = connect(world.address).await;
        let request = format!("GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
    }
    let begun = async {
        while world.proxy.counters().requests < 100 || world.dns.asked().len() < 32 {
            tokio::task::yield_now().await;
        }
    };
    soon("all of them", begun).await;
    let mut asked = world.dns.asked();
    asked.sort();
    asked.dedup();
    assert!(asked.len() <= 32, "{} names were asked for", asked.len());
}

/// F9: TLS that never comes about is a 502 that says so.
#[tokio::test(flavor = "multi_thread")]
async fn tls_that_never_comes_about() {
    // An old server's hello: TLS 1.0, no extensions.
    let mut old = vec![22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    old.extend([7; 32]);
    old.extend([0, 0, 47, 0]);
    let rows: [(&str, Option<Vec<u8>>); 5] = [
        ("silence", None),
        ("an alert", Some(vec![21, 3, 3, 0, 2, 2, 40])),
        (
            "plain HTTP",
            Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ),
        ("TLS 1.0", Some(old)),
        ("an end", Some(Vec::new())),
    ];
    for (what, says) in rows {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = format!("canary.test:{}", listener.local_addr().unwrap().port());
        let limits = proxy::Limits {
            handshake: Duration::from_secs(1),
            ..proxy::Limits::default()
        };
        let world = World::with(&deny(&[&authority]), limits).await;
        world.dns.points("canary.test", &["127.0.0.1"]);
        tokio::spawn(async move {
            while let Ok((mut origin, _)) = listener.accept().await {
                let says = says.clone();
                tokio::spawn(async move {
                    let mut hello = [0; 4096];
                    let _ = origin.read(&mut hello).await;
                    match says {
                        Some(says) => drop(origin.write_all(&says).await),
                        None => std::future::pending().await,
                    }
                });
            }
        });
        let tunnel = world.connect(&authority).await.unwrap();
        let mut tunnel = tunnel.tls(&world.ca(), "canary.test").await.unwrap();
        let answer = tunnel.get(&authority, "/").await.unwrap();
        assert_eq!(answer.status, 502, "{what} {answer:?}");
        assert!(
            answer.reason().starts_with("origin-"),
            "{what} {}",
            answer.reason()
        );
    }
}

/// F9: without a length, only a proper end of TLS is the end of an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_of_tls_is_no_end() {
    let answer = b"HTTP/1.1 200 OK\r\n\r\nhalf of it".to_vec();
    for (reply, is_whole) in [
        (Reply::SendAndClose(answer.clone()), true),
        (Reply::SendAndDrop(answer), false),
    ] {
        let world = World::new(&deny(&[])).await;
        let server = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
        let origin = Canary::https(server, move |_| reply.clone()).await;
        let authority = format!("canary.test:{}", origin.port());
        world.set(&deny(&[&authority]));
        world.dns.points("canary.test", &["127.0.0.1"]);
        let tunnel = world.connect(&authority).await.unwrap();
        let mut tunnel = tunnel.tls(&world.ca(), "canary.test").await.unwrap();
        tunnel
            .send(format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes())
            .await;
        let mut all = Vec::new();
        // A whole one ends with its last chunk; the connection then waits for more.
        let ended = async {
            while !all.ends_with(b"0\r\n\r\n") {
                match tunnel.io.read_u8().await {
                    Ok(byte) => all.push(byte),
                    Err(_) => return false,
                }
            }
            true
        };
        assert_eq!(soon("the answer", ended).await, is_whole);
    }
}

/// F25: a credential that cannot be had, or is none, means that the request is not sent at all.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_credential_a_request_is_not_sent() {
    let rig = Rig::new().await;
    let secret = rig.world.dir.path().join("secret");
    let authority = rig.authority(Adapter::Http1);
    let policy = format!(
        "default deny\nallow {authority}\ninject {authority} x-api-key from file {:?}\n",
        secret
    );
    std::fs::write(rig.world.dir.path().join("team.policy"), policy).unwrap();
    rig.world
        .set(r#"{"policy":"deny","include":["team.policy"]}"#);
    let rows: [(Option<Vec<u8>>, u16); 6] = [
        (None, 502),
        (Some(Vec::new()), 502),
        (Some(b"\n".to_vec()), 502),
        (Some(b"a\r\nx-evil: b".to_vec()), 502),
        (Some(vec![b'a'; 1024 * 1024]), 502),
        (Some(b"good\n".to_vec()), 200),
    ];
    for (content, status) in rows {
        let _ = std::fs::remove_file(&secret);
        if let Some(content) = &content {
            std::fs::write(&secret, content).unwrap();
        }
        let before = rig.origin(Adapter::Http1).requests().len();
        let mut wire = rig.wire(Adapter::Http1).await;
        wire.send(&rig.text(
            Adapter::Http1,
            "GET / HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: own\r\nX_Api_Key: own\r\n\r\n",
        ))
        .await;
        let answer = wire.answer().await.unwrap();
        let what = content.map(|content| content.len());
        assert_eq!(answer.status, status, "{what:?} {answer:?}");
        let arrived = rig.origin(Adapter::Http1).requests().split_off(before);
        assert_eq!(arrived.len(), usize::from(status == 200), "{what:?}");
        assert!(
            arrived
                .iter()
                .all(|request| request.contains("x-api-key: good\r\n") && !request.contains("own"))
        );
    }
}

/// F5 over HTTP/2: a stream that is reset lets its origin go, and only its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_stream_lets_its_origin_go() {
    use crate::support::frames::{
        END_HEADERS, END_STREAM, HEADERS, RST_STREAM, block, frame, preface,
    };
    let rig = Rig::answering(|_| Reply::Hang).await;
    let authority = rig.authority(Adapter::Http2);
    let fields = block(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", &authority),
        (":path", "/"),
    ]);
    let ask = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields);
    let mut client = rig.wire(Adapter::Http2).await;
    client.send(&[preface(), ask(1), ask(3)].concat()).await;
    let origin = rig.origin(Adapter::Http2);
    origin.until("both", |seen| seen.requests.len() == 2).await;
    client
        .send(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()))
        .await;
    origin.until("one to end", |seen| seen.ended == 1).await;
    let event = rig
        .world
        .event("the line", |event| event.method == "GET")
        .await;
    assert_eq!(event.reason.as_deref(), Some("client-abort"));
    assert_eq!(rig.origin(Adapter::Http2).seen().ended, 1);
}
