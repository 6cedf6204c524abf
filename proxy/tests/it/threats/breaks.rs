//! Origins that break off (F1), and origins that do not come to an end (F3). Below: clients that leave (F5), and origins
//! that are not even reached (F7).

mod leaving;
mod unreached;

use std::time::Duration;

use futures::future::join_all;
use proxy::Limits;

use super::answers::ask;
use super::rig::SWITCH;
use super::{Adapter, Cell, Rig};
use crate::support::Reply;
use crate::support::origin::ok;

/// What the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// An answer of the proxy's, with this status and for this reason.
    Failed(u16, &'static str),
    /// 200 and then visibly no end, for this reason.
    Cut(&'static str),
    /// All of it.
    Whole,
    /// A WebSocket that ends, for this reason if it is told.
    Switched(Option<&'static str>),
}

use End::{Cut, Failed, Switched, Whole};

struct Row {
    threat: &'static str,
    what: &'static str,
    /// What the origin does with the request.
    reply: Reply,
    end: End,
}

fn row(threat: &'static str, what: &'static str, reply: Reply, end: End) -> Row {
    Row {
        threat,
        what,
        reply,
        end,
    }
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
const SOME: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
const CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
const ALL: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// The rows, by the limits under which they are tried: a fault that must run out of time has little of it, and no other.
fn rows() -> Vec<(Limits, Vec<Row>)> {
    let (half, usual) = (HEAD[..20].to_vec(), Limits::default);
    let closes = |bytes: &[u8]| Reply::SendAndClose(bytes.to_vec());
    let resets = |bytes: &[u8]| Reply::SendAndReset(bytes.to_vec());
    let stalls = |bytes: &[u8]| Reply::Echo(bytes.to_vec());
    let drips = |first: &[u8], others: &[u8], pause| {
        Reply::Drip(
            first.to_vec(),
            others.to_vec(),
            Duration::from_millis(pause),
        )
    };
    let breaks = vec![
        row(
            "F1",
            "a close for an answer",
            closes(b""),
            Failed(502, "origin-closed"),
        ),
        row(
            "F1",
            "a reset for an answer",
            resets(b""),
            Failed(502, "origin-closed"),
        ),
        row(
            "F1",
            "a close in the head",
            closes(&half),
            Failed(502, "origin-closed"),
        ),
        row(
            "F1",
            "a reset in the head",
            resets(&half),
            Failed(502, "origin-closed"),
        ),
        row("F1", "no answer", closes(b"nonsense\r\n\r\n"), Failed(502, "bad-answer")),
        row("F1", "two lengths", closes(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), Failed(502, "bad-answer")),
        row(
            "F1",
            "a close in a length",
            closes(SOME),
            Cut("origin-closed"),
        ),
        row(
            "F1",
            "a reset in a length",
            resets(SOME),
            Cut("origin-closed"),
        ),
        row(
            "F1",
            "a close in chunks",
            closes(CHUNK),
            Cut("origin-closed"),
        ),
        row(
            "F1",
            "a reset in chunks",
            resets(CHUNK),
            Cut("origin-closed"),
        ),
        row("F1", "a reset behind it all", resets(ALL), Whole),
        row("F1", "a close behind 101", closes(SWITCH), Switched(None)),
        row(
            "F1",
            "a reset behind 101",
            resets(SWITCH),
            Switched(Some("origin-closed")),
        ),
    ];
    let silent = vec![
        row(
            "F3",
            "nothing for an answer",
            Reply::Hang,
            Failed(504, "answer-timeout"),
        ),
        row(
            "F3",
            "half a head",
            stalls(&half),
            Failed(504, "answer-timeout"),
        ),
        row(
            "F3",
            "a head in drops",
            drips(b"", ALL, 100),
            Failed(504, "answer-timeout"),
        ),
    ];
    let stalled = vec![
        row("F3", "half a length", stalls(SOME), Cut("stalled")),
        row("F3", "half the chunks", stalls(CHUNK), Cut("stalled")),
        // Slow, and never still for as long as it may be.
        row(
            "F3",
            "a body in drops",
            drips(HEAD, b"0123456789", 400),
            Whole,
        ),
    ];
    let idle = vec![row(
        "F3",
        "101 and nothing",
        stalls(SWITCH),
        Switched(Some("stalled")),
    )];
    let first_byte = Duration::from_millis(700);
    let body_idle = Duration::from_secs(3);
    let tunnel_idle = Duration::from_millis(700);
    vec![
        (usual(), breaks),
        (
            Limits {
                first_byte,
                ..usual()
            },
            silent,
        ),
        (
            Limits {
                body_idle,
                ..usual()
            },
            stalled,
        ),
        (
            Limits {
                tunnel_idle,
                ..usual()
            },
            idle,
        ),
    ]
}

impl Row {
    /// The ways in through which it can be tried.
    fn adapters(&self) -> &'static [Adapter] {
        match self.end {
            Switched(_) => &[Adapter::WebSocket],
            Failed(..) | Cut(_) | Whole => &Adapter::ALL,
        }
    }

    async fn run(&self, rig: &Rig, number: usize, adapter: Adapter) -> Result<(), String> {
        let path = format!("{number}/{adapter:?}");
        let (status, cut, text) = ask(rig, adapter, &path).await;
        // Over TLS a reset may overtake what was sent before it; what arrives is then less, and never half of it as whole.
        let overtaken = status == 502 && matches!(self.reply, Reply::SendAndReset(_));
        let (met, reason) = match self.end {
            Failed(expected, reason) => (status == expected && !cut, Some(reason)),
            Cut(reason) => {
                // A stream may be reset while its head still waits to be written.
                let begun = status == 200 || adapter == Adapter::Http2 && status == 0;
                (begun && cut || overtaken, Some(reason))
            }
            Whole => (status == 200 && !cut || overtaken, None),
            Switched(reason) => (status == 101 || overtaken, reason),
        };
        let is_line = |event: &proxy::audit::Event| event.url.ends_with(&format!("/{path}"));
        let line = rig.world.event(self.what, is_line).await;
        let told = match self.end {
            // Who of the two went first without a word is not always known.
            Switched(None) => true,
            _ => line.reason.as_deref() == reason || overtaken,
        };
        // Nothing of it is left over for the next.
        let (after, broken, _) = ask(rig, adapter, "next").await;
        let fine = met && told && (after, broken) == (200, false);
        fine.then_some(()).ok_or(format!(
            "{adapter:?} {} {:?}: {status}, cut: {cut}, {:?} {:?}, then {after}; {text:.200}",
            self.what, self.end, line.reason, line.message
        ))
    }
}

/// What is tried: all of it, every way.
pub(crate) fn cells() -> Vec<Cell> {
    let rows = rows().into_iter().flat_map(|(_, rows)| rows);
    let cells = rows.flat_map(|row| {
        row.adapters()
            .iter()
            .map(move |adapter| (row.threat, *adapter))
    });
    let below = ["F5", "F7"]
        .into_iter()
        .flat_map(|threat| Adapter::ALL.map(|adapter| (threat, adapter)));
    cells.chain(below).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_origins() {
    let groups = rows().into_iter().map(async |(limits, rows)| {
        let replies: Vec<Reply> = rows.iter().map(|row| row.reply.clone()).collect();
        let rig = Rig::with(limits, move |request| {
            let path = request.split(' ').nth(1).unwrap_or_default();
            let number = path
                .split('/')
                .nth(1)
                .and_then(|number| number.parse().ok());
            let reply = number.and_then(|number: usize| replies.get(number));
            reply.cloned().unwrap_or_else(|| ok("hello"))
        })
        .await;
        let tried = rows.iter().enumerate().flat_map(|(number, row)| {
            let rig = &rig;
            row.adapters()
                .iter()
                .map(move |adapter| row.run(rig, number, *adapter))
        });
        let wrong: Vec<_> = join_all(tried)
            .await
            .into_iter()
            .filter_map(Result::err)
            .collect();
        assert_eq!(rig.world.proxy.counters().panics, 0);
        wrong
    });
    let wrong = join_all(groups).await.concat();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
