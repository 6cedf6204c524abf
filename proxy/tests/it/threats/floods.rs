//! Frames without end: HTTP/2 clients that cost the proxy more than themselves, if it let them.

use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, split};

use super::{Adapter, Rig};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, PING, PRIORITY, RST_STREAM,
    Received, SETTINGS, WINDOW_UPDATE, block, frame, preface,
};
use crate::support::{Reply, Tunnel, soon};

/// RFC 9113 §7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// Frames in a flood, unless it is ended before.
const MANY: u32 = 100_000;

/// Frames written at once.
const BATCH: u32 = 200;

fn get(authority: &str) -> Vec<u8> {
    block(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", authority),
        (":path", "/"),
    ])
}

/// What a flood came to.
#[derive(Debug)]
struct Flooded {
    /// The code with which the proxy ended the connection; none if it closed without, or not at all.
    code: Option<u32>,
    /// Rounds that could be written.
    rounds: u32,
    /// Frames that came back.
    frames: usize,
}

/// Writes `round(n)` for n = 0, 1, 2… until the proxy ends the connection or [`MANY`] are written, reading all the while.
async fn flood(
    rig: &Rig,
    first: Vec<u8>,
    round: impl Fn(u32) -> Vec<u8> + Send + 'static,
) -> Flooded {
    let wire = rig.wire(Adapter::Http2).await;
    let (reader, mut writer) = split(wire.io);
    let writing = tokio::spawn(async move {
        let mut rounds = 0;
        if writer.write_all(&first).await.is_err() {
            return rounds;
        }
        while rounds < MANY {
            let batch: Vec<u8> = (rounds..rounds + BATCH).flat_map(&round).collect();
            if writer.write_all(&batch).await.is_err() {
                break;
            }
            rounds += BATCH;
        }
        // What is left unsaid ends the connection, so that both sides come to an end.
        let _ = writer.shutdown().await;
        rounds
    });
    let mut reading = Tunnel {
        io: tokio::io::join(reader, tokio::io::sink()),
    };
    let (mut code, mut frames) = (None, 0);
    while let Some(frame) = reading.frame().await {
        frames += 1;
        if let Some(given) = ended(&frame) {
            code = Some(given);
        }
    }
    Flooded {
        code,
        rounds: soon("the flood to end", writing).await.unwrap(),
        frames,
    }
}

/// The code of a GOAWAY that says that something is wrong.
fn ended(frame: &Received) -> Option<u32> {
    const GOAWAY: u8 = 7;
    let code =
        (frame.kind == GOAWAY).then(|| u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
    code.filter(|code| *code != 0)
}

/// Stream numbers of a client: odd.
fn nth(number: u32) -> u32 {
    2 * number + 1
}

/// Others go on as if nothing were.
async fn others_are_served(rig: &Rig) {
    let authority = rig.authority(Adapter::Http2);
    let mut client = rig.wire(Adapter::Http2).await;
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &get(&authority));
    client.send(&[preface(), request].concat()).await;
    assert_eq!(client.outcome(1).await, Outcome::Status(200));
    assert_eq!(rig.world.proxy.counters().panics, 0);
}

/// X3: streams opened and reset at once (CVE-2023-44487).
#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection() {
    let rig = Rig::new().await;
    let request = get(&rig.authority(Adapter::Http2));
    let round = move |number| {
        let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, nth(number), &request);
        bytes.extend(frame(RST_STREAM, 0, nth(number), &8_u32.to_be_bytes()));
        bytes
    };
    let flooded = flood(&rig, preface(), round).await;
    assert_eq!(flooded.code, Some(ENHANCE_YOUR_CALM), "{flooded:?}");
    assert!(flooded.rounds < MANY, "{flooded:?}");
    let asked = rig.origin(Adapter::Http2).seen().connections;
    assert!(asked < 200, "{asked} connections to the origin");
    others_are_served(&rig).await;
}

/// X4: streams that the proxy is made to reset (CVE-2025-8671), each in another way.
#[tokio::test(flavor = "multi_thread")]
async fn resets_by_the_proxy_end_the_connection_and_the_work_behind_them() {
    type Provoke = fn(u32) -> Vec<u8>;
    let rows: &[(&str, Provoke)] = &[
        ("a window raised by nothing", |stream| {
            frame(WINDOW_UPDATE, 0, stream, &[0; 4])
        }),
        ("a window that overflows", |stream| {
            let most = frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
            [most.clone(), most].concat()
        }),
        ("data after the end", |stream| frame(DATA, 0, stream, b"x")),
        ("fields after the end", |stream| {
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                &block(&[("x", "y")]),
            )
        }),
        ("a priority of the wrong length", |stream| {
            frame(PRIORITY, 0, stream, &[0; 4])
        }),
    ];
    for (what, provoke) in rows {
        let rig = Rig::answering(|_| Reply::Hang).await;
        let request = get(&rig.authority(Adapter::Http2));
        let provoke = *provoke;
        let flooded = flood(&rig, preface(), move |number| {
            let open = frame(HEADERS, END_HEADERS | END_STREAM, nth(number), &request);
            [open, provoke(nth(number))].concat()
        })
        .await;
        assert!(flooded.code.is_some(), "{what}: {flooded:?}");
        assert!(flooded.rounds < MANY, "{what}: {flooded:?}");
        // What was begun at the origin for it is over, and there was little.
        let origin = rig.origin(Adapter::Http2);
        origin
            .until(what, |seen| seen.ended == seen.connections)
            .await;
        assert!(
            origin.seen().connections < 300,
            "{what}: {}",
            origin.seen().connections
        );
        assert_eq!(rig.world.proxy.counters().panics, 0);
    }
}

/// X5, X6, H13: fields without end, on the wire or decoded.
#[tokio::test(flavor = "multi_thread")]
async fn fields_without_end_are_refused() {
    let rig = Rig::new().await;
    let opened = [
        preface(),
        frame(HEADERS, END_STREAM, 1, &get(&rig.authority(Adapter::Http2))),
    ]
    .concat();
    let rows: [(&str, Vec<u8>); 3] = [
        ("a field a frame", block(&[("x", "y")])),
        ("empty frames", Vec::new()),
        ("long fields", block(&[("x", &"y".repeat(8000))])),
    ];
    for (what, fields) in rows {
        let flooded = flood(&rig, opened.clone(), move |_| {
            frame(CONTINUATION, 0, 1, &fields)
        })
        .await;
        assert_eq!(flooded.code, Some(ENHANCE_YOUR_CALM), "{what}: {flooded:?}");
    }
    // 4 KiB put into the table once, then named in a byte, again and again: 16 KiB that mean 60 MiB.
    let mut bomb = get(&rig.authority(Adapter::Http2));
    bomb.extend([0x40, 1, b'x', 0x7f]);
    bomb.extend([0xa1, 0x1e]); // 4000 = 127 + 0x21 + 0x1e * 128
    bomb.extend(vec![b'y'; 4000]);
    bomb.extend(vec![0xbe; 12_000]);
    let mut client = rig.wire(Adapter::Http2).await;
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    client.send(&[preface(), request].concat()).await;
    let outcome = client.outcome(1).await;
    assert!(
        matches!(
            outcome,
            Outcome::Status(431) | Outcome::GoAway(ENHANCE_YOUR_CALM)
        ),
        "{outcome:?}"
    );
    assert_eq!(rig.origin(Adapter::Http2).seen().connections, 0);
    others_are_served(&rig).await;
}

/// X7: frames that say nothing. What costs the proxy no more than the client may go on; it is never kept.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_say_nothing_are_not_kept() {
    let rig = Rig::new().await;
    let authority = rig.authority(Adapter::Http2);
    let upload = frame(
        HEADERS,
        END_HEADERS,
        1,
        &block(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &authority),
            (":path", "/"),
        ]),
    );
    let opened = [preface(), upload].concat();
    let rows: [(&str, Vec<u8>, bool); 7] = [
        ("empty data", frame(DATA, 0, 1, &[]), true),
        ("padding only", frame(DATA, 8, 1, &[3, 0, 0, 0]), false),
        ("settings", frame(SETTINGS, 0, 0, &[]), false),
        ("pings", frame(PING, 0, 0, &[7; 8]), false),
        ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]), false),
        (
            "windows",
            frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
            false,
        ),
        ("unknown frames", frame(0xfe, 0, 0, &[7; 8]), false),
    ];
    for (what, noise, ends) in rows {
        let flooded = flood(&rig, opened.clone(), move |_| noise.clone()).await;
        println!("{what}: {flooded:?}");
        assert!(
            !ends || flooded.code == Some(ENHANCE_YOUR_CALM),
            "{what}: {flooded:?}"
        );
        assert!(
            flooded.frames <= MANY as usize + 1000,
            "{what}: {flooded:?}"
        );
    }
    others_are_served(&rig).await;
}

/// X7: who sends questions and reads no answers is not read any further.
#[tokio::test(flavor = "multi_thread")]
async fn questions_without_reading_the_answers_are_held_up() {
    let rig = Rig::new().await;
    for noise in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])] {
        let mut client = rig.wire(Adapter::Http2).await;
        client.send(&preface()).await;
        let batch = noise.repeat(4000);
        let mut written = 0;
        // As much as sockets and TLS hold, then no more.
        while let Ok(sent) =
            tokio::time::timeout(Duration::from_millis(500), client.io.write_all(&batch)).await
        {
            if sent.is_err() {
                break;
            }
            written += batch.len();
            assert!(
                written < 64 * 1024 * 1024,
                "{written} bytes of questions were taken"
            );
        }
    }
    others_are_served(&rig).await;
}

/// X7: a stream whose window stays shut does not hold its answer forever.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_stays_shut_ends_the_stream() {
    let limits = proxy::Limits {
        body_idle: Duration::from_millis(300),
        ..proxy::Limits::default()
    };
    let rig = Rig::with(limits, |_| crate::support::origin::ok(&"x".repeat(100_000))).await;
    let authority = rig.authority(Adapter::Http2);
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let mut client = rig.wire(Adapter::Http2).await;
    let hello = [&preface()[..24], &no_window].concat();
    let request = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(&authority));
    client.send(&[hello, request(1)].concat()).await;
    assert_eq!(client.outcome(1).await, Outcome::Status(200));
    assert!(matches!(client.outcome(1).await, Outcome::Reset(_)));
    let event = rig
        .world
        .event("the line", |event| event.reason.is_some())
        .await;
    assert_eq!(event.reason.as_deref(), Some("stalled"));
    // Control: with a window, the same answer arrives.
    let mut client = rig.wire(Adapter::Http2).await;
    let wide = frame(WINDOW_UPDATE, 0, 0, &1_000_000_u32.to_be_bytes());
    client.send(&[preface(), wide, request(1)].concat()).await;
    let mut received = 0;
    while received < 60_000 {
        let frame = client.frame().await.unwrap();
        received += if frame.kind == DATA {
            frame.payload.len()
        } else {
            0
        };
    }
}

/// X8: so many streams at once and no more.
#[tokio::test(flavor = "multi_thread")]
async fn streams_at_once_are_limited() {
    let rig = Rig::answering(|_| Reply::Hang).await;
    let request = get(&rig.authority(Adapter::Http2));
    let mut client = rig.wire(Adapter::Http2).await;
    let many: Vec<u8> = (0..150)
        .flat_map(|number| frame(HEADERS, END_HEADERS | END_STREAM, nth(number), &request))
        .collect();
    client.send(&[preface(), many].concat()).await;
    // REFUSED_STREAM: the request was not begun, and may be sent again.
    for number in 100..150 {
        assert_eq!(
            client.outcome(nth(number)).await,
            Outcome::Reset(7),
            "stream {number}"
        );
    }
    let origin = rig.origin(Adapter::Http2);
    origin
        .until("a hundred", |seen| seen.requests.len() == 100)
        .await;
    drop(client);
    origin
        .until("the end of them", |seen| seen.ended == seen.connections)
        .await;
}
