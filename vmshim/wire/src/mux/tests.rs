use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split};
use tokio::task::JoinHandle;

use super::*;

type Driving = JoinHandle<Result<(), MuxError>>;

/// A guest and a host on one port.
fn pair() -> ((Opener, Driving), (Acceptor, Driving)) {
    let (host, guest) = duplex(4096);
    let (opener, _, driver) = new(guest, Side::Guest);
    let opening = (opener, tokio::spawn(driver.run()));
    let (_, acceptor, driver) = new(host, Side::Host);
    (opening, (acceptor, tokio::spawn(driver.run())))
}

/// One stream, both ends.
async fn stream(opener: &Opener, acceptor: &mut Acceptor) -> (Stream, Stream) {
    let mut near = opener.open().await.unwrap();
    near.write_all(b"!").await.unwrap();
    let mut far = acceptor.accept().await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'!');
    (near, far)
}

#[tokio::test]
async fn each_half_ends_by_itself() {
    let ((opener, _near), (mut acceptor, _far)) = pair();
    let (mut near, mut far) = stream(&opener, &mut acceptor).await;
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "question");
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    text.clear();
    near.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "answer");
}

#[tokio::test]
async fn an_abort_is_not_an_end() {
    let ((opener, _near), (mut acceptor, _far)) = pair();
    for near_aborts in [true, false] {
        let (near, far) = stream(&opener, &mut acceptor).await;
        let mut other = if near_aborts {
            drop(near);
            far
        } else {
            drop(far);
            near
        };
        let error = other.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_stream_that_nobody_reads_holds_up_no_other() {
    let ((opener, _near), (mut acceptor, _far)) = pair();
    let (mut stuck, _unread) = stream(&opener, &mut acceptor).await;
    let filler = tokio::spawn(async move { stuck.write_all(&vec![0; 1 << 22]).await });
    let (near, far) = stream(&opener, &mut acceptor).await;
    let (mut far_read, mut far_write) = split(far);
    let echo = tokio::spawn(async move {
        copy(&mut far_read, &mut far_write).await.unwrap();
        far_write.shutdown().await.unwrap();
    });
    let (mut near_read, mut near_write) = split(near);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        near_write.write_all(&sent).await.unwrap();
        near_write.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    near_read.read_to_end(&mut received).await.unwrap();
    assert!(received == expected, "the bytes differ");
    assert!(!filler.is_finished(), "more than a window was buffered");
    writer.await.unwrap();
    echo.await.unwrap();
}

#[tokio::test]
async fn there_are_as_many_streams_as_promised_and_the_next_waits() {
    let ((opener, _near), (mut acceptor, _far)) = pair();
    let mut open = Vec::new();
    for _ in 0..MAX_OPEN {
        open.push(stream(&opener, &mut acceptor).await);
    }
    let next = tokio::spawn({
        let opener = opener.clone();
        async move { opener.open().await.map(drop) }
    });
    tokio::task::yield_now().await;
    assert!(!next.is_finished());
    open.pop();
    next.await.unwrap().unwrap();
    // Many more, one after the other, do not add up.
    open.clear();
    for _ in 0..2 * MAX_STREAMS {
        let (mut near, mut far) = stream(&opener, &mut acceptor).await;
        near.shutdown().await.unwrap();
        far.shutdown().await.unwrap();
        assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn everything_fails_at_once_when_the_port_closes() {
    let ((opener, near), (mut acceptor, far)) = pair();
    let (mut stream, _other) = stream(&opener, &mut acceptor).await;
    far.abort();
    assert!(acceptor.accept().await.is_err());
    stream.read_u8().await.unwrap_err();
    near.await.unwrap().ok();
    assert!(opener.is_closed());
    opener.closed().await;
    assert!(opener.open().await.is_err());
}

#[tokio::test]
async fn a_port_that_nobody_uses_is_closed_and_not_before() {
    let ((opener, near), (mut acceptor, far)) = pair();
    let (mut stream, mut other) = stream(&opener, &mut acceptor).await;
    drop(opener);
    drop(acceptor);
    stream.write_all(b"still here").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    other.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "still here");
    assert!(!near.is_finished() && !far.is_finished());
    drop(stream);
    near.await.unwrap().unwrap();
    drop(other);
    far.await.unwrap().unwrap();
}

/// A data frame for a stream.
fn data(flags: u16, stream: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    let mut bytes = vec![0, 0];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(stream.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes.extend(body);
    bytes
}

#[tokio::test]
async fn small_frames_that_nobody_reads_are_limited() {
    const SYN: u16 = 1;
    let (port, mut peer) = duplex(1 << 16);
    let (_opener, mut acceptor, driver) = new(port, Side::Host);
    let driving = tokio::spawn(driver.run());
    let accepting = tokio::spawn(async move {
        let mut unread = Vec::new();
        while let Ok(stream) = acceptor.accept().await {
            unread.push(stream);
        }
    });
    // Two streams' windows have room for twice as many bytes as small frames may wait.
    for stream in [1, 3] {
        let _ = peer.write_all(&data(SYN, stream, b"")).await;
        let frames = data(0, stream, b"x").repeat(1 << 10);
        for _ in 0..STREAM_WINDOW >> 10 {
            if peer.write_all(&frames).await.is_err() {
                break; // cut off, as it should be
            }
        }
    }
    let error = driving.await.unwrap().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("small frames"), "{source}");
    accepting.await.unwrap();
}

#[tokio::test]
async fn small_frames_that_are_read_are_not_limited() {
    let ((opener, _near), (mut acceptor, _far)) = pair();
    let (mut near, mut far) = stream(&opener, &mut acceptor).await;
    let count = tally::MOST_SMALL + 1000;
    let writer = tokio::spawn(async move {
        for _ in 0..count {
            near.write_all(b"x").await.unwrap();
        }
        near.shutdown().await.unwrap();
        near
    });
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), count);
    writer.await.unwrap();
}

/// F27: streams that are opened and reset at once, and streams beyond the number, keep nothing and hold up nobody.
#[tokio::test]
async fn storms_pass() {
    const SYN: u16 = 1;
    const RST: u16 = 8;
    let (port, mut peer) = duplex(1 << 16);
    let (_opener, mut acceptor, driver) = new(port, Side::Host);
    let driving = tokio::spawn(driver.run());
    let (mut hear, mut say) = {
        let (hear, say) = split(&mut peer);
        (hear, say)
    };
    let storm = async {
        for stream in 0..20_000_u32 {
            let id = 2 * stream + 1;
            let frames = [data(SYN, id, b"GET"), data(RST, id, b"")].concat();
            say.write_all(&frames).await.unwrap();
        }
        say.write_all(&data(SYN, 40_001, b"!")).await.unwrap();
    };
    let answers = async {
        // What the host says meanwhile, so that it never waits for us.
        let _ = copy(&mut hear, &mut tokio::io::sink()).await;
    };
    let serve = async {
        let mut most = 0;
        loop {
            let mut stream = acceptor.accept().await.unwrap();
            most = most.max(acceptor.accepted.len());
            if matches!(stream.read_u8().await, Ok(b'!')) {
                return most;
            }
        }
    };
    let most = tokio::select! {
        most = async { tokio::join!(storm, serve).1 } => most,
        () = answers => panic!("the host hung up"),
    };
    assert!(most <= MAX_STREAMS, "{most} streams waited");
    driving.abort();
}

/// F27: a guest that stops reading holds up what is sent to it, and costs no more than a window for each stream.
#[tokio::test]
async fn a_guest_that_stops_reading_is_waited_for() {
    let (host, guest) = duplex(4096);
    let (opener, _acceptor, driver) = new(host, Side::Host);
    let driving = tokio::spawn(driver.run());
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let (opener, sent) = (opener.clone(), Arc::clone(&sent));
            tokio::spawn(async move {
                let mut stream = opener.open().await.unwrap();
                while stream.write_all(&[0; 1024]).await.is_ok() {
                    sent.fetch_add(1024, std::sync::atomic::Ordering::Relaxed);
                }
            })
        })
        .collect();
    let sent = || sent.load(std::sync::atomic::Ordering::Relaxed);
    // Until nothing moves any more.
    let mut before = usize::MAX;
    while before != sent() {
        before = sent();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }
    assert!(sent() <= 8 * 2 * STREAM_WINDOW, "{} bytes are kept", sent());
    assert!(!driving.is_finished() && writers.iter().all(|writer| !writer.is_finished()));
    drop(guest);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(driving.await.unwrap().is_err() || opener.is_closed());
}

/// V3: frames that name streams, credit or lengths that are not the sender's move no byte of anybody else.
#[tokio::test]
async fn forged_frames_touch_no_other_stream() {
    fn window(flags: u16, stream: u32, credit: u32) -> Vec<u8> {
        let mut bytes = data(flags, stream, b"");
        bytes[1] = 1;
        bytes[8..].copy_from_slice(&credit.to_be_bytes());
        bytes
    }
    let forged = [
        data(0, 2, b"of the host's own"),
        data(0, 99, b"of nobody"),
        window(0, 99, u32::MAX),
        window(0, 1, u32::MAX),
        data(4, 99, b""),
        data(8, 99, b""),
    ];
    for frame in forged {
        let (port, mut peer) = duplex(1 << 16);
        let (_opener, mut acceptor, driver) = new(port, Side::Host);
        let driving = tokio::spawn(driver.run());
        let frames = [
            data(1, 1, b"mine"),
            frame,
            data(0, 1, b" alone"),
            data(4, 1, b""),
        ]
        .concat();
        peer.write_all(&frames).await.unwrap();
        let mut stream = acceptor.accept().await.unwrap();
        let mut text = String::new();
        // Either the conversation ends for all, or the stream has its own bytes.
        if stream.read_to_string(&mut text).await.is_ok() {
            assert_eq!(text, "mine alone");
        } else {
            assert!("mine alone".starts_with(&text), "{text}");
        }
        driving.abort();
    }
}

/// Says this to a fresh driver and closes.
async fn say(bytes: &[u8]) -> Result<(), MuxError> {
    let (port, mut peer): (DuplexStream, DuplexStream) = duplex(1 << 20);
    let (_opener, _acceptor, driver) = new(port, Side::Host);
    peer.write_all(bytes).await.unwrap();
    let (mut read, mut write) = split(peer);
    write.shutdown().await.unwrap();
    drop(write);
    let sink = tokio::spawn(async move { copy(&mut read, &mut tokio::io::sink()).await });
    let result = driver.run().await;
    sink.abort();
    result
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_cut_off() {
    let header = |version: u8, kind: u8, flags: u16, id: u32, len: u32| {
        let mut bytes = vec![version, kind];
        bytes.extend(flags.to_be_bytes());
        bytes.extend(id.to_be_bytes());
        bytes.extend(len.to_be_bytes());
        bytes
    };
    let rows = [
        (
            crate::resync::Record {
                kind: crate::resync::Kind::Syn,
                nonce: [1; 16],
            }
            .encode()
            .to_vec(),
            true,
        ),
        (vec![0xff; 100], true),
        (header(1, 0, 0, 1, 0), true),
        (header(0, 9, 0, 1, 0), true),
        (header(0, 0, 1, 1, u32::MAX), true), // a body of 4 GiB
        (header(0, 0, 0, 77, 0), false),      // a stream that may just have been dropped
        (vec![0; 5], true),                   // cut off within a header
        (vec![], false),
    ];
    for (bytes, broken) in rows {
        assert_eq!(say(&bytes).await.is_err(), broken, "{bytes:?}");
    }
}

#[tokio::test]
async fn any_bytes_end_in_an_error_or_an_end() {
    let mut state = 7_u64;
    for _ in 0..300 {
        let mut bytes = Vec::new();
        for _ in 0..40 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let r = (state >> 32) as u32;
            // Headers that are nearly right: version 0, small kinds, flags, ids and lengths.
            bytes.extend([0, (r % 5) as u8, 0, (r >> 4 & 15) as u8]);
            bytes.extend((r >> 8 & 7).to_be_bytes());
            bytes.extend((r >> 12 & 3).to_be_bytes());
        }
        let _ended = say(&bytes).await; // it returned, and that is the point
    }
}
