//! F5: clients that leave take their requests with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Adapter, Rig, SOME, SWITCH};
use crate::support::client::client_config;
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, block, frame, preface};
use crate::support::h2::Origin;
use crate::support::pki::Flaw;
use crate::support::world::deny;
use crate::support::{Reply, World, soon};

/// Where in its request a client is when it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Waiting,
    InTheAnswer,
    InTheUpload,
    BehindAnUpgrade,
}

use Moment::{BehindAnUpgrade, InTheAnswer, InTheUpload, Waiting};

impl Moment {
    const ALL: [Self; 4] = [Waiting, InTheAnswer, InTheUpload, BehindAnUpgrade];

    fn reply(self) -> Reply {
        match self {
            Waiting | InTheUpload => Reply::Hang,
            InTheAnswer => Reply::Echo(SOME.to_vec()),
            BehindAnUpgrade => Reply::Echo(SWITCH.to_vec()),
        }
    }

    /// A WebSocket's handshake has no body, and nothing else is upgraded.
    fn is_for(self, adapter: Adapter) -> bool {
        match self {
            Waiting | InTheAnswer => true,
            InTheUpload => adapter != Adapter::WebSocket,
            BehindAnUpgrade => adapter == Adapter::WebSocket,
        }
    }

    /// What the client says.
    fn said(self, rig: &Rig, adapter: Adapter) -> Vec<u8> {
        let uploads = self == InTheUpload;
        if adapter != Adapter::Http2 {
            let head = match uploads {
                true => "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\nhalf",
                false => "GET {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
            };
            return rig.text(adapter, head);
        }
        let authority = rig.authority(adapter);
        let fields = [
            (":method", if uploads { "POST" } else { "GET" }),
            (":scheme", "https"),
            (":authority", &*authority),
            (":path", "/"),
        ];
        let request = |flags| frame(HEADERS, END_HEADERS | flags, 1, &block(&fields));
        match uploads {
            true => [preface(), request(0), frame(DATA, 0, 1, b"half")].concat(),
            false => [preface(), request(END_STREAM)].concat(),
        }
    }
}

/// Leaves at `moment`, and waits until the origin is let go.
async fn leave(rig: &Rig, moment: Moment, adapter: Adapter) {
    let what = format!("{moment:?} {adapter:?}");
    let origin = rig.origin(adapter);
    let before = origin.seen();
    let mut wire = rig.wire(adapter).await;
    wire.send(&moment.said(rig, adapter)).await;
    match moment {
        Waiting => {
            let asked = before.requests.len() + 1;
            origin
                .until(&what, |seen| seen.requests.len() == asked)
                .await;
        }
        InTheUpload => {
            // As a chunk, where nobody knows how long it is.
            let half = |seen: &[u8]| seen.windows(4).any(|bytes| bytes == b"half");
            let from = before.bytes.len();
            origin.until(&what, |seen| half(&seen.bytes[from..])).await;
        }
        InTheAnswer | BehindAnUpgrade if adapter == Adapter::Http2 => drop(wire.begun(1).await),
        InTheAnswer | BehindAnUpgrade => drop(wire.exactly(20).await),
    }
    let lines = rig.world.events().len();
    drop(wire);
    let left = Instant::now();
    origin
        .until(&what, |seen| seen.ended == before.ended + 1)
        .await;
    // A second is promised; a busy machine may be late in noticing.
    assert!(
        left.elapsed() < Duration::from_secs(5),
        "{what} {:?}",
        left.elapsed()
    );
    let is_new = |_: &proxy::audit::Event| rig.world.events().len() > lines;
    rig.world.event(&what, is_new).await;
    let line = rig.world.events().pop().unwrap();
    let blamed = line.reason.as_deref() == Some("client-abort");
    assert!(blamed || moment == BehindAnUpgrade, "{what} {line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_take_their_requests_with_them() {
    for moment in Moment::ALL {
        let rig = Rig::answering(move |_| moment.reply()).await;
        for adapter in Adapter::ALL
            .into_iter()
            .filter(|adapter| moment.is_for(*adapter))
        {
            leave(&rig, moment, adapter).await;
        }
    }
}

/// The same in a tunnel that nobody reads.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_take_their_tunnels_with_them() {
    let rig = Rig::answering(|_| Reply::Hang).await;
    let mut tunnel = rig.open_tunnel().await;
    tunnel.send(b"x\r\n\r\n").await;
    let origin = rig.opened(Adapter::Tunnel);
    origin
        .until("the bytes", |seen| seen.requests.len() == 1)
        .await;
    drop(tunnel);
    origin.until("the end", |seen| seen.ended == 1).await;
    rig.world
        .event("the line", |event| event.method == "CONNECT")
        .await;
}

/// Counts itself when it is dropped.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The same where the origin speaks HTTP/2, too: its stream is reset.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_take_their_streams_with_them() {
    let world = World::new(&deny(&[])).await;
    let tls = world.pki.server("canary.test", Flaw::None, &[b"h2"]);
    let gone = Arc::<AtomicUsize>::default();
    let counter = gone.clone();
    let origin = Origin::reading(tls, move |request| {
        let held = Held(counter.clone());
        Box::pin(async move {
            let _held = (held, request);
            std::future::pending().await
        })
    })
    .await;
    let authority = format!("canary.test:{}", origin.address.port());
    world.set(&deny(&[&authority]));
    world.dns.points("canary.test", &["127.0.0.1"]);
    for (left, method) in ["GET", "POST"].into_iter().enumerate() {
        let tunnel = world.connect(&authority).await.unwrap();
        let config = client_config(&world.ca(), &[b"h2"]);
        let mut tunnel = tunnel.tls_with(config, "canary.test").await.unwrap();
        let fields = [
            (":method", method),
            (":scheme", "https"),
            (":authority", &*authority),
            (":path", "/"),
        ];
        let request = |flags| frame(HEADERS, END_HEADERS | flags, 1, &block(&fields));
        let said = match method {
            "POST" => [request(0), frame(DATA, 0, 1, b"half")].concat(),
            _ => request(END_STREAM),
        };
        tunnel.send(&[preface(), said].concat()).await;
        let reached = async {
            while origin.requests.lock().unwrap().len() == left {
                tokio::task::yield_now().await;
            }
        };
        soon(method, reached).await;
        drop(tunnel);
        let let_go = async {
            while gone.load(Ordering::Relaxed) == left {
                tokio::task::yield_now().await;
            }
        };
        soon("the origin to be let go", let_go).await;
        let line = world.event(method, |event| event.method == method).await;
        assert_eq!(line.reason.as_deref(), Some("client-abort"), "{line:?}");
    }
}
