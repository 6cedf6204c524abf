//! Requests that only HTTP/2 can say (RFC 9113 §8): each is refused, and nothing of it reaches an HTTP/1 origin.

use super::{Adapter, Cell, Rig};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, block, frame, preface,
};

/// Fields, body and what becomes of the stream. `{host}` stands for the origin.
struct Row {
    threat: &'static str,
    fields: &'static [(&'static str, &'static str)],
    body: Option<&'static str>,
    outcome: Outcome,
}

const fn row(
    threat: &'static str,
    fields: &'static [(&'static str, &'static str)],
    body: Option<&'static str>,
    outcome: Outcome,
) -> Row {
    Row {
        threat,
        fields,
        body,
        outcome,
    }
}

/// RFC 9113 §7.
const PROTOCOL_ERROR: Outcome = Outcome::Reset(1);
/// The same for the whole connection: the library does not read on after it.
const GOAWAY: Outcome = Outcome::GoAway(1);
const BAD: Outcome = Outcome::Status(400);

const M: (&str, &str) = (":method", "GET");
const P: (&str, &str) = (":method", "POST");
const S: (&str, &str) = (":scheme", "https");
const A: (&str, &str) = (":authority", "{host}");
const R: (&str, &str) = (":path", "/");

const ROWS: &[Row] = &[
    // The same shapes without the flaw arrive.
    row("ok", &[M, S, A, R], None, Outcome::Status(200)),
    row(
        "ok",
        &[M, S, R, ("host", "{host}")],
        None,
        Outcome::Status(200),
    ),
    row(
        "ok",
        &[M, S, A, R, ("te", "trailers")],
        None,
        Outcome::Status(200),
    ),
    row("ok", &[P, S, A, R], Some("abc"), Outcome::Status(200)),
    row(
        "ok",
        &[P, S, A, R, ("content-length", "3")],
        Some("abc"),
        Outcome::Status(200),
    ),
    // What HTTP/1 would take for framing.
    row(
        "X1",
        &[P, S, A, R, ("content-length", "03")],
        Some("abc"),
        Outcome::Status(200),
    ),
    row(
        "X1",
        &[P, S, A, R, ("content-length", "3"), ("content-length", "3")],
        Some("abc"),
        Outcome::Status(200),
    ),
    row(
        "X1",
        &[P, S, A, R, ("content-length", "2")],
        Some("abc"),
        PROTOCOL_ERROR,
    ),
    row(
        "X1",
        &[P, S, A, R, ("content-length", "4")],
        Some("abc"),
        PROTOCOL_ERROR,
    ),
    row(
        "X1",
        &[P, S, A, R, ("content-length", "+3")],
        Some("abc"),
        PROTOCOL_ERROR,
    ),
    row(
        "X1",
        &[P, S, A, R, ("content-length", "3"), ("content-length", "4")],
        Some("abc"),
        PROTOCOL_ERROR,
    ),
    row(
        "X1",
        &[P, S, A, R, ("content-length", "3")],
        None,
        PROTOCOL_ERROR,
    ),
    row(
        "X1",
        &[P, S, A, R, ("transfer-encoding", "chunked")],
        Some("0\r\n\r\n"),
        PROTOCOL_ERROR,
    ),
    row(
        "X1",
        &[M, S, A, R, ("connection", "close")],
        None,
        PROTOCOL_ERROR,
    ),
    row(
        "X1",
        &[M, S, A, R, ("proxy-connection", "close")],
        None,
        PROTOCOL_ERROR,
    ),
    row(
        "X1",
        &[M, S, A, R, ("keep-alive", "5")],
        None,
        PROTOCOL_ERROR,
    ),
    row(
        "X1",
        &[M, S, A, R, ("upgrade", "h2c")],
        None,
        PROTOCOL_ERROR,
    ),
    row("X1", &[M, S, A, R, ("te", "chunked")], None, PROTOCOL_ERROR),
    row("X1", &[M, S, A, R, ("x", "a\r\nsmuggled: b")], None, GOAWAY),
    row("X1", &[M, S, A, R, ("x", "a\nb")], None, GOAWAY),
    row("X1", &[M, S, A, R, ("x", "a\0b")], None, GOAWAY),
    row("X1", &[M, S, A, R, ("x y", "b")], None, GOAWAY),
    row("X1", &[M, S, A, R, ("x:y", "b")], None, GOAWAY),
    row("X1", &[M, S, A, R, ("x\r\nsmuggled", "b")], None, GOAWAY),
    row("X1", &[M, S, A, R, ("", "b")], None, GOAWAY),
    row("X1", &[M, S, A, R, ("X-Upper", "b")], None, GOAWAY),
    // Pseudo fields.
    row("X2", &[S, A, R], None, PROTOCOL_ERROR),
    row("X2", &[M, A, R], None, PROTOCOL_ERROR),
    row("X2", &[M, S, A], None, PROTOCOL_ERROR),
    row("X2", &[M, M, S, A, R], None, PROTOCOL_ERROR),
    row("X2", &[M, S, S, A, R], None, PROTOCOL_ERROR),
    row("X2", &[M, S, A, A, R], None, PROTOCOL_ERROR),
    row("X2", &[M, S, A, R, R], None, PROTOCOL_ERROR),
    row("X2", &[M, S, A, ("x", "y"), R], None, PROTOCOL_ERROR),
    row(
        "X2",
        &[M, S, A, R, (":status", "200")],
        None,
        PROTOCOL_ERROR,
    ),
    row("X2", &[M, S, A, R, (":unknown", "x")], None, GOAWAY),
    row(
        "X2",
        &[(":method", "GET /smuggled HTTP/1.1"), S, A, R],
        None,
        GOAWAY,
    ),
    row("X2", &[(":method", ""), S, A, R], None, GOAWAY),
    row(
        "X2",
        &[M, (":scheme", "http://x/?"), A, R],
        None,
        PROTOCOL_ERROR,
    ),
    row(
        "X2",
        &[M, (":scheme", ""), A, R],
        None,
        Outcome::Status(421),
    ),
    row("X2", &[M, S, A, (":path", "")], None, PROTOCOL_ERROR),
    row("X2", &[M, S, A, (":path", "x")], None, PROTOCOL_ERROR),
    row("X2", &[M, S, A, (":path", "*")], None, BAD),
    row(
        "X2",
        &[M, S, A, (":path", "http://evil.test/")],
        None,
        PROTOCOL_ERROR,
    ),
    row(
        "X2",
        &[M, S, A, (":path", "/ HTTP/1.1\r\nX: y")],
        None,
        PROTOCOL_ERROR,
    ),
    row("X2", &[M, S, A, (":path", "/a b")], None, PROTOCOL_ERROR),
    // The same targets that HTTP/1 refuses.
    // The library leaves the fragment out before anybody judges the path.
    row(
        "H11",
        &[M, S, A, (":path", "/#f")],
        None,
        Outcome::Status(200),
    ),
    row("H11", &[M, S, A, (":path", "/\\x")], None, BAD),
    row("H11", &[M, S, A, (":path", "/\u{e9}")], None, BAD),
    row(
        "H11",
        &[M, (":scheme", "http"), A, R],
        None,
        Outcome::Status(421),
    ),
    row(
        "H11",
        &[M, (":scheme", "ftp"), A, R],
        None,
        Outcome::Status(421),
    ),
    row(
        "H12",
        &[(":method", "TRACE"), S, A, R],
        None,
        Outcome::Status(405),
    ),
    row(
        "H12",
        &[(":method", "TRACK"), S, A, R],
        None,
        Outcome::Status(405),
    ),
    row("H12", &[(":method", "G(T"), S, A, R], None, GOAWAY),
    row(
        "H6",
        &[M, S, A, R, ("host", "{host}"), ("host", "{host}")],
        None,
        BAD,
    ),
    row(
        "H6",
        &[M, S, A, R, ("host", "{host}, evil.test")],
        None,
        BAD,
    ),
    row("H6", &[M, S, A, R, ("host", "u@{host}")], None, BAD),
    row("H6", &[M, S, A, R, ("host", "")], None, BAD),
    // One request, two destinations.
    row(
        "D1",
        &[M, S, A, R, ("host", "evil.test")],
        None,
        Outcome::Status(421),
    ),
    row(
        "D1",
        &[M, S, (":authority", "evil.test"), R, ("host", "{host}")],
        None,
        Outcome::Status(421),
    ),
    row(
        "D1",
        &[M, S, (":authority", "{host}@evil.test"), R],
        None,
        BAD,
    ),
    row(
        "D4",
        &[M, S, (":authority", "evil.test"), R],
        None,
        Outcome::Status(421),
    ),
    row(
        "D4",
        &[M, S, (":authority", "canary.test:1"), R],
        None,
        Outcome::Status(421),
    ),
    row(
        "D4",
        &[M, S, (":authority", "open.test"), R],
        None,
        Outcome::Status(421),
    ),
    row(
        "D4",
        &[M, S, (":authority", "127.0.0.1"), R],
        None,
        Outcome::Status(421),
    ),
    row("D4", &[M, S, (":authority", ""), R], None, PROTOCOL_ERROR),
    row(
        "D10",
        &[(":method", "CONNECT"), (":authority", "evil.test:443")],
        None,
        Outcome::Status(421),
    ),
    row(
        "D10",
        &[(":method", "CONNECT"), A],
        None,
        Outcome::Status(405),
    ),
    // Extended CONNECT (RFC 8441) is not offered, so nobody may use it.
    row(
        "D11",
        &[(":method", "CONNECT"), (":protocol", "websocket"), S, A, R],
        None,
        PROTOCOL_ERROR,
    ),
];

/// What the rows try.
pub(crate) fn cells() -> Vec<Cell> {
    ROWS.iter()
        .map(|row| (row.threat, Adapter::Http2))
        .collect()
}

fn request(row: &Row, authority: &str) -> Vec<u8> {
    let fields: Vec<(&str, String)> = row
        .fields
        .iter()
        .map(|(name, value)| (*name, value.replace("{host}", authority)))
        .collect();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let end = if row.body.is_none() { END_STREAM } else { 0 };
    let mut bytes = preface();
    bytes.extend(frame(HEADERS, END_HEADERS | end, 1, &block(&fields)));
    if let Some(body) = row.body {
        bytes.extend(frame(DATA, END_STREAM, 1, body.as_bytes()));
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn rows() {
    let rig = Rig::new().await;
    let origin = rig.origin(Adapter::Http2);
    let authority = rig.authority(Adapter::Http2);
    let mut wrong = Vec::new();
    for row in ROWS {
        let before = origin.seen();
        let bytes = request(row, &authority);
        let mut client = rig.wire(Adapter::Http2).await;
        client.send(&bytes).await;
        let outcome = client.outcome(1).await;
        let arrived = origin.seen().requests.split_off(before.requests.len());
        if outcome != row.outcome {
            wrong.push(format!(
                "{} {:?} {:?}: {outcome:?} {arrived:?}",
                row.threat, row.fields, row.outcome
            ));
        }
        // A body that turns out wrong is cut off on its way: there is no whole request.
        let expected = usize::from(row.outcome == Outcome::Status(200));
        let ambiguous = arrived.iter().any(|request| {
            request.contains('#')
                || request.contains(": 03")
                || request.matches("content-length").count() > 1
        });
        if arrived.len() != expected || ambiguous {
            wrong.push(format!(
                "{} {:?} arrived: {arrived:?}",
                row.threat, row.fields
            ));
        }
        if outcome != Outcome::Status(200) {
            rig.control(Adapter::Http2, &bytes).await;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
