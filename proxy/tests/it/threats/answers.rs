//! Origins that lie: whoever holds an allowed host writes these answers (H10, X9).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::{Adapter, Cell, Rig};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PING, PUSH_PROMISE,
    RST_STREAM, SETTINGS, block, frame, preface,
};
use crate::support::h2::Client;
use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::world::deny;
use crate::support::{Reply, World};

/// What the client gets for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    Status(u16),
    /// 200 and then visibly no end.
    Cut,
}

use Got::{Cut, Status};

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Answers to `GET`, and what becomes of them. Behind each the next request to the same origin is answered rightly.
const ROWS: &[(&str, Got)] = &[
    (GOOD, Status(200)),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Status(200),
    ),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        Status(200),
    ),
    // Lengths.
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 5,5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 05\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nZ\r\n\r\n",
        Cut,
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        Cut,
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nFFFFFFFFFFFFFFFFF\r\n",
        Cut,
    ),
    // Heads.
    (
        "HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\nx: a\r\n folded: b\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\n: a\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 200 OK\r\nno colon\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    ("hello\r\n\r\n", Status(502)),
    ("ICY 200 OK\r\ncontent-length: 5\r\n\r\nhello", Status(502)),
    (
        "HTTP/2.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 20 OK\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 2000 OK\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    (
        "HTTP/1.1 099 OK\r\ncontent-length: 5\r\n\r\nhello",
        Status(502),
    ),
    ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Status(502)),
    (
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        Status(502),
    ),
    ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Status(502)),
    // More than was asked for.
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled",
        Status(200),
    ),
    (
        "HTTP/1.1 204 No Content\r\ncontent-length: 8\r\n\r\nsmuggled",
        Status(204),
    ),
    (
        "HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled",
        Status(304),
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled",
        Status(200),
    ),
    // Less than was announced.
    ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", Cut),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        Cut,
    ),
    // What belongs to one hop, or speaks with the proxy's own voice.
    (
        "HTTP/1.1 200 OK\r\nalt-svc: h3=\":443\"; secret\r\nproxy-authenticate: Basic secret\r\nconnection: x-mine\r\nx-mine: secret\r\nupgrade: secret\r\nkeep-alive: secret\r\nx-sandbox-reason: secret\r\ncontent-length: 0\r\n\r\n",
        Status(200),
    ),
];

/// Answers that are too much.
fn bombs() -> Vec<(String, Got)> {
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
    vec![
        (
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1000)),
            Status(502),
        ),
        (
            format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200_000)),
            Status(502),
        ),
        // Each costs what it costs to send, none is kept, and their number is bounded.
        (format!("{}{GOOD}", interim.repeat(32)), Status(200)),
        (format!("{}{GOOD}", interim.repeat(33)), Status(502)),
        (
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: {}\r\n\r\n",
                "y".repeat(1_000_000)
            ),
            Cut,
        ),
        (
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;{}\r\nhello\r\n0\r\n\r\n",
                "y".repeat(100_000)
            ),
            Cut,
        ),
    ]
}

/// What the rows try: all of them, every way.
pub(crate) fn cells() -> Vec<Cell> {
    Adapter::ALL.map(|adapter| ("H10", adapter)).to_vec()
}

/// The request for row `number`, and what came of it, as text as far as it is text.
pub(super) async fn ask(rig: &Rig, adapter: Adapter, number: &str) -> (u16, bool, String) {
    let mut wire = rig.wire(adapter).await;
    if adapter == Adapter::Http2 {
        let authority = rig.authority(adapter);
        let path = format!("/{number}");
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", &*authority),
            (":path", &*path),
        ];
        let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields));
        wire.send(&[preface(), request].concat()).await;
        let (Outcome::Status(status), over) = wire.begun(1).await else {
            return (0, true, String::new());
        };
        if over {
            return (status, false, String::new());
        }
        let mut body = Vec::new();
        loop {
            let frame = wire.frame().await.unwrap();
            match frame.kind {
                DATA => body.extend_from_slice(&frame.payload),
                RST_STREAM => return (status, true, String::from_utf8_lossy(&body).into_owned()),
                _ => {}
            }
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                return (status, false, String::from_utf8_lossy(&body).into_owned());
            }
        }
    }
    let head =
        format!("GET {{at}}/{number} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n");
    wire.send(&rig.text(adapter, &head)).await;
    let all = String::from_utf8_lossy(&wire.rest().await).into_owned();
    let Some((head, body)) = all.split_once("\r\n\r\n") else {
        return (0, true, all);
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map(|length| length.parse::<usize>().unwrap());
    let cut = match length {
        Some(length) => status != 204 && body.len() < length,
        None => head.contains("transfer-encoding: chunked") && !body.ends_with("0\r\n\r\n"),
    };
    (status, cut, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows() {
    let rows: Vec<(String, Got)> = ROWS
        .iter()
        .map(|(answer, got)| ((*answer).to_owned(), *got))
        .chain(bombs())
        .collect();
    let answers: Vec<String> = rows.iter().map(|(answer, _)| answer.clone()).collect();
    let rig = Rig::answering(move |request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let number = path.trim_start_matches('/').parse::<usize>().ok();
        match number.and_then(|number| answers.get(number)) {
            // Those that are cut short are so because the connection ends.
            Some(answer) => Reply::SendAndClose(answer.clone().into_bytes()),
            None => ok("hello"),
        }
    })
    .await;
    let mut wrong = Vec::new();
    for (number, (answer, got)) in rows.iter().enumerate() {
        let begin: String = answer.chars().take(120).collect();
        for adapter in Adapter::ALL {
            let (status, cut, text) = ask(&rig, adapter, &number.to_string()).await;
            let met = match got {
                Status(expected) => status == *expected && !cut,
                // The head may still wait to be written when the connection ends.
                Cut => matches!(status, 0 | 200) && cut || status == 502,
            };
            if !met || text.contains("smuggled") || text.contains("secret") {
                wrong.push(format!(
                    "{adapter:?} {got:?} {begin:?}: {status}, cut: {cut}, {text:.200}"
                ));
            }
            // Nothing of it is left over for the next.
            let (status, cut, text) = ask(&rig, adapter, "next").await;
            if (status, cut) != (200, false) || !text.contains("hello") || text.contains("smuggled")
            {
                wrong.push(format!(
                    "{adapter:?}, behind {begin:?}: {status} {text:.200}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(rig.world.proxy.counters().panics, 0);
}

/// An origin that answers the first request on a connection with the bytes it was last told, and ends the connection
/// when it is told others.
async fn frames_origin(world: &World) -> (u16, watch::Sender<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = TlsAcceptor::from(world.pki.server("canary.test", Flaw::None, &[b"h2"]));
    let (script, told) = watch::channel(Vec::new());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, mut told) = (tls.clone(), told.clone());
            tokio::spawn(async move {
                let said = told.borrow_and_update().clone();
                let mut stream = tls.accept(stream).await.ok()?;
                let mut read = vec![0; 65536];
                let mut heard = Vec::new();
                // A client's HEADERS come after its preface, settings and window.
                while heard.len() < 24 + 9 + 50 {
                    let count = stream
                        .read(&mut read)
                        .await
                        .ok()
                        .filter(|count| *count > 0)?;
                    heard.extend_from_slice(&read[..count]);
                }
                stream.write_all(&said).await.ok()?;
                loop {
                    tokio::select! {
                        Ok(1..) = stream.read(&mut read) => {}
                        Ok(()) = told.changed() => return stream.shutdown().await.ok(),
                        else => return Some(()),
                    }
                }
            });
        }
    });
    (port, script)
}

/// X9: what an HTTP/2 origin can say to one request.
#[tokio::test(flavor = "multi_thread")]
async fn frames_of_origins() {
    let limits = proxy::Limits {
        first_byte: std::time::Duration::from_secs(1),
        ..proxy::Limits::default()
    };
    let world = World::with(&deny(&[]), limits).await;
    let (port, script) = frames_origin(&world).await;
    let authority = format!("canary.test:{port}");
    world.set(&deny(&[&authority]));
    world.dns.points("canary.test", &["127.0.0.1"]);

    let hello = frame(SETTINGS, 0, 0, &[]);
    let head =
        |fields: &[(&str, &str)], flags| frame(HEADERS, END_HEADERS | flags, 1, &block(fields));
    let fine = [hello.clone(), head(&[(":status", "200")], END_STREAM)].concat();
    let long = "y".repeat(16_000);
    let more = |count: usize| frame(CONTINUATION, 0, 1, &block(&[("x", &long)])).repeat(count);
    let rows: Vec<(&str, Vec<u8>)> = vec![
        (
            "a push",
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&2_u32.to_be_bytes()[..], &block(&[(":method", "GET")])].concat(),
            ),
        ),
        ("no frames", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("no status", head(&[("x", "y")], END_STREAM)),
        (
            "two states",
            head(&[(":status", "200"), (":status", "200")], END_STREAM),
        ),
        ("no number", head(&[(":status", "2x0")], END_STREAM)),
        ("a small number", head(&[(":status", "99")], END_STREAM)),
        (
            "capitals",
            head(&[(":status", "200"), ("X-Y", "z")], END_STREAM),
        ),
        (
            "two lines",
            head(&[(":status", "200"), ("x", "y\r\nz: a")], END_STREAM),
        ),
        (
            "connection",
            head(&[(":status", "200"), ("connection", "close")], END_STREAM),
        ),
        (
            "encoding",
            head(
                &[(":status", "200"), ("transfer-encoding", "chunked")],
                END_STREAM,
            ),
        ),
        (
            "two lengths",
            head(
                &[
                    (":status", "200"),
                    ("content-length", "1"),
                    ("content-length", "2"),
                ],
                0,
            ),
        ),
        (
            "a length of zeros",
            head(&[(":status", "200"), ("content-length", "00")], END_STREAM),
        ),
        ("a switch", head(&[(":status", "101")], END_STREAM)),
        ("data first", frame(DATA, 0, 1, b"x")),
        (
            "another stream",
            frame(HEADERS, END_HEADERS, 3, &block(&[(":status", "200")])),
        ),
        (
            "a huge head",
            [frame(HEADERS, 0, 1, &block(&[(":status", "200")])), more(8)].concat(),
        ),
        (
            "continuations",
            [
                frame(HEADERS, 0, 1, &[]),
                frame(CONTINUATION, 0, 1, &[]).repeat(100_000),
            ]
            .concat(),
        ),
        ("a huge frame", vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]),
        ("goodbyes", frame(GOAWAY, 0, 0, &[0; 8]).repeat(10_000)),
        (
            "refusals",
            frame(RST_STREAM, 0, 1, &7_u32.to_be_bytes()).repeat(1000),
        ),
        (
            "hints",
            head(&[(":status", "103"), ("link", "x")], 0).repeat(20_000),
        ),
        (
            "settings, then nothing",
            frame(SETTINGS, 0, 0, &[]).repeat(20_000),
        ),
        (
            "pings, then nothing",
            frame(PING, 0, 0, &[7; 8]).repeat(20_000),
        ),
    ];
    let mut wrong = Vec::new();
    for (what, bytes) in rows {
        script.send_replace([hello.clone(), bytes].concat());
        let client = Client::connect(&world, &authority, &[b"h2"]).await;
        let (status, _) = client.get("/").await;
        if !matches!(status, 502 | 504) {
            wrong.push(format!("{what}: {status}"));
        }
        // The next one has a connection of its own, and a good answer.
        script.send_replace(fine.clone());
        let client = Client::connect(&world, &authority, &[b"h2"]).await;
        let (status, _) = client.get("/").await;
        if status != 200 {
            wrong.push(format!("behind {what}: {status}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(world.proxy.counters().panics, 0);
}
