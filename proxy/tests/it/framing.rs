//! Requests two parsers could read differently: none reaches an origin.

mod chunks;
mod connection;
mod fields;
mod lengths;
mod limits;
mod refusals;
mod targets;
mod trailers;

use crate::threats::{Adapter, Cell, Rig};

/// A head, the threat it tries, and what becomes of it: on the proxy's own port, inside a tunnel, inside interception.
struct Row {
    threat: &'static str,
    head: String,
    expected: [Expected; 3],
}

#[derive(Clone, Copy)]
enum Expected {
    /// This status; 200 and nothing else reaches the origin.
    Status(u16),
    /// The end of the connection: it does not begin like HTTP.
    Closed,
    /// Anything but an answer by the origin, which gets no whole request.
    Cut,
    /// There is nothing to try.
    No(&'static str),
}

use Expected::{Closed, Cut, No, Status};

/// How most heads begin.
const GET: &str = "GET {at}/ HTTP/1.1\r\nHost: {host}\r\n";
const POST: &str = "POST {at}/ HTTP/1.1\r\nHost: {host}\r\n";

fn row(threat: &'static str, head: impl Into<String>, expected: [Expected; 3]) -> Row {
    Row {
        threat,
        head: head.into(),
        expected,
    }
}

/// Refused as ambiguous, wherever it is said.
fn bad(threat: &'static str, head: impl Into<String>) -> Row {
    row(threat, head, [Status(400); 3])
}

/// The same, and in a tunnel nobody would take it for HTTP.
fn alien(threat: &'static str, head: impl Into<String>) -> Row {
    row(threat, head, [Status(400), Closed, Status(400)])
}

/// The shapes of the other rows without the flaw: they arrive.
fn flawless() -> Vec<Row> {
    let heads = [
        GET.to_owned() + "\r\n",
        "PURGE {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".to_owned(),
        format!("{GET}X: caf\u{e9}\r\n\r\n"),
        "GET {at}/?q=%00{|} HTTP/1.1\r\nHost: {host}\r\n\r\n".to_owned(),
        format!("{POST}Content-Length: 3\r\n\r\nabc"),
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ];
    heads.map(|head| row("ok", head, [Status(200); 3])).into()
}

fn table() -> Vec<Row> {
    let parts = [
        flawless(),
        lengths::rows(),
        chunks::rows(),
        fields::rows(),
        connection::rows(),
        targets::rows(),
    ];
    parts.into_iter().flatten().collect()
}

/// The status by which the origin's consent is known.
fn consent(adapter: Adapter) -> u16 {
    match adapter {
        Adapter::WebSocket => 101,
        _ => 200,
    }
}

impl Row {
    async fn run(&self, rig: &Rig, adapter: Adapter, expected: Expected) -> Result<(), String> {
        let bytes = rig.text(adapter, &self.head);
        let what = format!("{} {adapter:?} {}", self.threat, bytes.escape_ascii());
        let origin = rig.origin(adapter);
        let before = origin.seen();
        let mut client = rig.wire(adapter).await;
        client.send(&bytes).await;
        let answer = client.answer().await;
        match (expected, &answer) {
            (Status(200), Some(answer)) if answer.status == consent(adapter) => {
                let arrived = origin.requests().len() - before.requests.len();
                return (arrived == 1)
                    .then_some(())
                    .ok_or(format!("{what}: {arrived} arrived"));
            }
            (Closed, None) => {}
            (Cut, None) => {}
            (Cut, Some(answer)) if answer.status != 200 => {}
            (Status(status), Some(answer))
                if answer.status == status && !answer.reason().is_empty() =>
            {
                if status == 400 && !client.rest().await.is_empty() {
                    return Err(format!("{what}: the connection goes on"));
                }
            }
            _ => return Err(format!("{what}: {answer:?}")),
        }
        if matches!(expected, Cut) {
            let whole = origin.requests().len() - before.requests.len();
            if whole > 0 {
                return Err(format!("{what}: a whole request arrived"));
            }
        } else if origin.seen().bytes.len() != before.bytes.len() {
            return Err(format!("{what}: it arrived"));
        }
        // Control: where nobody reads, all of it arrives.
        rig.control(adapter, &bytes).await;
        Ok(())
    }

    fn expected(&self, adapter: Adapter) -> Expected {
        let [outside, tunnel, tls] = self.expected;
        match (adapter, tls) {
            (Adapter::Absolute, _) => outside,
            (Adapter::Tunnel, _) => tunnel,
            (Adapter::WebSocket, _) if self.head.starts_with('\r') => {
                No("the handshake's fields would come before the request")
            }
            (Adapter::WebSocket, Status(200)) if !self.head.starts_with("GET ") => {
                No("a WebSocket begins with GET and no body; see upgrade.rs")
            }
            (Adapter::Http1 | Adapter::Http2 | Adapter::WebSocket, tls) => tls,
        }
    }
}

/// What the rows try.
pub(crate) fn cells() -> Vec<Cell> {
    let cells = table().into_iter().flat_map(|row| {
        let tried = Adapter::TEXT
            .into_iter()
            .filter(|adapter| !matches!(row.expected(*adapter), No(_)));
        let tried: Vec<Cell> = tried.map(|adapter| (row.threat, adapter)).collect();
        tried
    });
    cells.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows() {
    let rig = Rig::new().await;
    let mut wrong = Vec::new();
    for row in table() {
        for adapter in Adapter::TEXT {
            match row.expected(adapter) {
                No(why) => println!("{} {adapter:?} {:?}: {why}", row.threat, row.head),
                expected => wrong.extend(row.run(&rig, adapter, expected).await.err()),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
