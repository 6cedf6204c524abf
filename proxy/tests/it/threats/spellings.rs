//! Spellings of hosts and ports that are nobody's canonical form: 400 everywhere, and no name server hears of them.

use std::net::{TcpStream, ToSocketAddrs as _};

use super::{Adapter, Cell, Rig};
use crate::support::Tunnel;
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, Outcome, block, frame, preface};

/// `{port}` stands for the origin's.
const ROWS: &[(&str, &str)] = &[
    // IPv4 as C libraries read it: each of these is this machine.
    ("N1", "127.1:{port}"),
    ("N1", "127.0.1:{port}"),
    ("N1", "0x7f000001:{port}"),
    ("N1", "0x7f.1:{port}"),
    ("N1", "0x7f.0x0.0x0.0x1:{port}"),
    ("N1", "2130706433:{port}"),
    ("N1", "0177.0.0.1:{port}"),
    ("N1", "017700000001:{port}"),
    ("N1", "127.0.0.01:{port}"),
    ("N1", "0:{port}"),
    ("N1", "00:{port}"),
    ("N1", "0x0:{port}"),
    ("N1", "127.0.0.1.:{port}"),
    ("N1", "4294967296:{port}"),
    ("N1", "1.2.3.4.5:{port}"),
    ("N1", "canary.test.1:{port}"),
    ("N1", "canary.0x1:{port}"),
    // What no host name has.
    ("N8", "a%00.test:{port}"),
    ("N8", "canary.test%00.evil.test:{port}"),
    ("N8", "a%2etest:{port}"),
    ("N8", "canary%E3%80%82test:{port}"),
    ("N8", "u@canary.test:{port}"),
    ("N8", "canary.test:1@evil.test:{port}"),
    ("N8", "[canary.test]:{port}"),
    ("N8", "[[::1]]:{port}"),
    ("N8", "[127.0.0.1]:{port}"),
    ("N8", "[::1:{port}"),
    ("N8", "::1:{port}"),
    ("N8", "[::1%25lo]:{port}"),
    ("N8", "[::1%lo]:{port}"),
    ("N8", "[v1.x]:{port}"),
    ("N8", "[]:{port}"),
    ("N8", "a..test:{port}"),
    ("N8", ".canary.test:{port}"),
    ("N8", "canary.test..:{port}"),
    ("N8", ".:{port}"),
    ("N8", ":{port}"),
    ("N8", "-a.test:{port}"),
    ("N8", "a-.test:{port}"),
    ("N8", "can*ry.test:{port}"),
    ("N8", "canary.test,evil.test:{port}"),
    ("N8", "canary.test;evil.test:{port}"),
    ("N8", "canary.test|x:{port}"),
    (
        "N8",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test:{port}",
    ),
    // Ports.
    ("N8", "canary.test:0"),
    ("N8", "canary.test:65536"),
    ("N8", "canary.test:007"),
    ("N8", "canary.test:+80"),
    ("N8", "canary.test:-1"),
    ("N8", "canary.test:0x50"),
    ("N8", "canary.test:80:443"),
    ("N8", "canary.test:"),
    ("N8", "canary.test:8O"),
    // Letters beyond ASCII, and A-labels that are none.
    ("N9", "b\u{fc}cher.test:{port}"),
    ("N9", "\u{2460}\u{2461}\u{2466}.0.0.1:{port}"),
    ("N9", "\u{ff11}27.0.0.1:{port}"),
    ("N9", "canary\u{3002}test:{port}"),
    ("N9", "canary.test\u{200d}:{port}"),
    ("N9", "stra\u{df}e.test:{port}"),
    ("N9", "xn--\u{fc}.test:{port}"),
    ("N9", "xn--canary-.test:{port}"),
    ("N9", "xn--.test:{port}"),
    ("N9", "canary.test:\u{661}"),
];

/// What the rows try: all of them, every way.
pub(crate) fn cells() -> Vec<Cell> {
    let cells = ROWS
        .iter()
        .flat_map(|(threat, _)| Adapter::ALL.map(|adapter| (*threat, adapter)));
    cells.collect()
}

/// The request that names `authority`, where `adapter` names it.
fn bytes(rig: &Rig, adapter: Adapter, authority: &str) -> Vec<u8> {
    match adapter {
        Adapter::Absolute => {
            format!("GET http://{authority}/ HTTP/1.1\r\nHost: canary.test\r\n\r\n").into_bytes()
        }
        Adapter::Tunnel => {
            format!("CONNECT {authority} HTTP/1.1\r\nHost: canary.test\r\n\r\n").into_bytes()
        }
        Adapter::Http1 | Adapter::WebSocket => rig.text(
            adapter,
            &format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
        ),
        Adapter::Http2 => {
            let fields = [
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", authority),
                (":path", "/"),
            ];
            [
                preface(),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)),
            ]
            .concat()
        }
    }
}

async fn outcome(rig: &Rig, adapter: Adapter, bytes: &[u8]) -> Outcome {
    // What a CONNECT names is named on the proxy's own port.
    let mut wire = match adapter {
        Adapter::Tunnel => rig.wire(Adapter::Absolute).await,
        _ => rig.wire(adapter).await,
    };
    wire.send(bytes).await;
    match adapter {
        Adapter::Http2 => wire.outcome(1).await,
        _ => wire
            .answer()
            .await
            .map_or(Outcome::Closed, |answer| Outcome::Status(answer.status)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows() {
    let rig = Rig::new().await;
    // Everything is allowed, and this machine by its canonical names: a spelling that became one of them would arrive.
    let ports = [Adapter::Absolute, Adapter::Http1].map(|adapter| rig.origin(adapter).port());
    let rules: Vec<String> = ports
        .iter()
        .flat_map(|port| {
            ["127.0.0.1", "localhost", "canary.test"].map(|host| format!("{host}:{port}"))
        })
        .collect();
    let open =
        format!(r#"{{"policy":"allow","network":{{"allowedDomains":{rules:?},"blockCIDR":[]}}}}"#);
    rig.world.set(&open);
    for adapter in Adapter::ALL {
        let port = rig.origin(adapter).port();
        let requests = rig.origin(adapter).requests().len();
        for (threat, spelling) in ROWS {
            let authority = spelling.replace("{port}", &port.to_string());
            let outcome = outcome(&rig, adapter, &bytes(&rig, adapter, &authority)).await;
            let inside = adapter.is_tls();
            let refused = match outcome {
                Outcome::Status(400) | Outcome::Reset(1) | Outcome::GoAway(1) => true,
                // A label of digits is another host than the tunnel's before it is no host at all.
                Outcome::Status(421) => inside,
                _ => false,
            };
            assert!(refused, "{threat} {adapter:?} {authority:?}: {outcome:?}");
        }
        assert_eq!(
            rig.origin(adapter).requests().len(),
            requests,
            "{adapter:?}"
        );
        // Control: canonical, it arrives.
        let good = bytes(&rig, adapter, &format!("canary.test:{port}"));
        let good = match adapter {
            Adapter::Tunnel => rig.text(Adapter::Tunnel, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            Adapter::Absolute => rig.text(adapter, "GET {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            _ => good,
        };
        let mut wire = rig.wire(adapter).await;
        wire.send(&good).await;
        rig.origin(adapter)
            .until("the control", |seen| seen.requests.len() > requests)
            .await;
    }
    let asked = rig.world.dns.asked();
    assert!(asked.iter().all(|name| name == "canary.test."), "{asked:?}");
}

/// Control: who hands these spellings to the C library reaches this machine with them.
#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the naive client that the proxy must not be"
)]
async fn a_naive_client_arrives() {
    let canary = crate::support::Canary::http(|_| crate::support::origin::ok("hello")).await;
    let naive = ROWS.iter().filter(|(threat, spelling)| {
        let nowhere = ["4294967296", "1.2.3.4.5", "canary.", "127.0.0.1."].iter();
        *threat == "N1" && !nowhere.into_iter().any(|host| spelling.starts_with(host))
    });
    let mut arrived = 0;
    for (_, spelling) in naive {
        let authority = spelling.replace("{port}", &canary.port().to_string());
        let mut addresses = authority.to_socket_addrs().unwrap();
        let io = TcpStream::connect(addresses.next().unwrap()).unwrap();
        io.set_nonblocking(true).unwrap();
        let mut client = Tunnel {
            io: tokio::net::TcpStream::from_std(io).unwrap(),
        };
        assert_eq!(
            client.get("x", "/").await.unwrap().body,
            "hello",
            "{spelling}"
        );
        arrived += 1;
    }
    assert!(arrived >= 10, "{arrived}");
}
