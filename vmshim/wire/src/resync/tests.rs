use super::*;

const OLD: Nonce = [7; NONCE_LEN];
const NEW: Nonce = [9; NONCE_LEN];

fn record(kind: Kind, nonce: Nonce) -> Record {
    Record { kind, nonce }
}

fn scan(bytes: &[u8]) -> Vec<Record> {
    let mut scanner = Scanner::default();
    bytes.iter().filter_map(|&b| scanner.push(b)).collect()
}

#[test]
fn a_record_is_found_whatever_precedes_it() {
    let wanted = record(Kind::Syn, NEW);
    let bytes = wanted.encode();
    let prefixes: Vec<Vec<u8>> = vec![
        vec![],
        vec![0; 100],
        MAGIC.to_vec(),
        vec![0xff; 40],
        (0..=255).collect(),
    ];
    for prefix in prefixes {
        let stream = [prefix.as_slice(), bytes.as_slice()].concat();
        assert_eq!(scan(&stream).last(), Some(&wanted), "after {prefix:?}");
    }
}

#[test]
fn a_record_cut_short_anywhere_hides_nothing() {
    let old = record(Kind::Syn, OLD).encode();
    let new = record(Kind::Syn, NEW);
    for cut in 0..RECORD_LEN {
        let stream = [&old[..cut], &new.encode()].concat();
        assert_eq!(scan(&stream).last(), Some(&new), "cut at {cut}");
    }
}

#[test]
fn nothing_is_found_in_a_record_with_one_wrong_byte_of_magic_or_kind() {
    for at in 0..=MAGIC.len() {
        let mut bytes = record(Kind::Go, NEW).encode();
        bytes[at] ^= 0x80;
        assert_eq!(scan(&bytes), [], "byte {at}");
    }
}

/// Feeds each side's output to the other until both have begun; returns how many records crossed.
fn converse(mut to_guest: Vec<u8>, mut to_host: Vec<u8>) -> usize {
    let (mut host, mut guest) = (Host::new(NEW), Guest::default());
    let (mut host_began, mut guest_began) = (false, false);
    let mut sent = 1;
    to_guest.extend(host.opening().unwrap().encode());
    while !(host_began && guest_began) {
        assert!(!to_guest.is_empty() || !to_host.is_empty(), "deadlock");
        for byte in std::mem::take(&mut to_guest) {
            assert!(!guest_began, "the host sent something after its go");
            match guest.push(byte) {
                Some(Step::Send(r)) => to_host.extend(r.encode()),
                Some(Step::Begin(last)) => {
                    guest_began = true;
                    to_host.extend(last.unwrap().encode());
                }
                None => continue,
            }
            sent += 1;
        }
        for byte in std::mem::take(&mut to_host) {
            assert!(!host_began, "the guest sent something after its go");
            match host.push(byte) {
                Some(Step::Send(r)) => to_guest.extend(r.encode()),
                Some(Step::Begin(last)) => {
                    assert_eq!(last, None);
                    host_began = true;
                    continue;
                }
                None => continue,
            }
            sent += 1;
        }
    }
    sent
}

#[test]
fn both_sides_agree_on_the_first_byte() {
    let stale = |kind| record(kind, OLD).encode().to_vec();
    let twice = record(Kind::Syn, NEW).encode().to_vec();
    // what the guest still receives, what the host still receives, records sent in all
    let rows: [(Vec<u8>, Vec<u8>, usize); 6] = [
        (vec![], vec![], 4),
        (vec![0; 1000], vec![0xff; 1000], 4),
        (stale(Kind::Go), stale(Kind::Ack), 4),
        (stale(Kind::Syn), stale(Kind::Go), 5), // the stale Syn is acknowledged, the host ignores it
        (
            stale(Kind::Syn)[..20].to_vec(),
            stale(Kind::Ack)[..20].to_vec(),
            5, // cut off, it takes part of the next for its nonce; that Ack is ignored too
        ),
        (twice, vec![], 5), // a repeated Syn costs one more Ack and nothing else
    ];
    for (to_guest, to_host, sent) in rows {
        let row = format!("{to_guest:?} {to_host:?}");
        assert_eq!(converse(to_guest, to_host), sent, "{row}");
    }
}

#[test]
fn a_go_without_its_syn_begins_nothing() {
    let mut guest = Guest::default();
    let stream = record(Kind::Go, NEW).encode();
    assert!(stream.iter().all(|&b| guest.push(b).is_none()));
}

mod over_a_port {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream, duplex};

    #[tokio::test(start_paused = true)]
    async fn garbage_before_and_payload_directly_behind() {
        let (mut a, mut b) = duplex(1 << 16);
        a.write_all(&[0xab; 5000]).await.unwrap();
        b.write_all(&MAGIC).await.unwrap();
        let (mut a, mut b) = (BufStream::new(a), BufStream::new(b));
        let host = async {
            io::host(&mut a, NEW).await.unwrap();
            a.write_all(b"from host").await.unwrap();
            a.flush().await.unwrap();
            let mut got = [0; 10];
            a.read_exact(&mut got).await.unwrap();
            assert_eq!(&got, b"from guest");
        };
        let guest = async {
            io::guest(&mut b).await.unwrap();
            b.write_all(b"from guest").await.unwrap();
            b.flush().await.unwrap();
            let mut got = [0; 9];
            b.read_exact(&mut got).await.unwrap();
            assert_eq!(&got, b"from host");
        };
        tokio::join!(host, guest);
    }

    #[tokio::test(start_paused = true)]
    async fn the_host_asks_again_when_its_first_words_were_swallowed() {
        let (a, mut b) = duplex(1 << 16);
        let mut a = BufStream::new(a);
        let guest = async {
            // An old conversation swallows the first two questions, a byte more and a byte less.
            let mut swallowed = [0; 2 * RECORD_LEN + 1];
            b.read_exact(&mut swallowed).await.unwrap();
            io::guest(&mut BufStream::new(&mut b)).await.unwrap();
        };
        let (host, ()) = tokio::join!(io::host(&mut a, NEW), guest);
        host.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_host_breaks_into_a_frame_that_will_never_end() {
        let (a, mut b) = duplex(1 << 16);
        let mut a = BufStream::new(a);
        let guest = async {
            // An old conversation waits for the 16 KiB body of a frame, and only then notices.
            let mut body = vec![0; 16 * 1024];
            b.read_exact(&mut body).await.unwrap();
            io::guest(&mut BufStream::new(&mut b)).await.unwrap();
        };
        let started = tokio::time::Instant::now();
        let (host, ()) = tokio::join!(io::host(&mut a, NEW), guest);
        host.unwrap();
        assert!(
            started.elapsed() < std::time::Duration::from_secs(1),
            "it takes too long"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_boots_for_a_minute_finds_little_to_throw_away() {
        let (a, mut b) = duplex(1 << 20);
        let mut a = BufStream::new(a);
        let waited =
            tokio::time::timeout(std::time::Duration::from_secs(60), io::host(&mut a, NEW));
        waited.await.unwrap_err();
        drop(a);
        let mut waiting = Vec::new();
        b.read_to_end(&mut waiting).await.unwrap();
        assert!((1..600_000).contains(&waiting.len()), "{}", waiting.len());
    }

    #[tokio::test]
    async fn a_closed_port_is_an_error_on_both_sides() {
        let (a, b) = duplex(64);
        drop(b);
        let closed = io::guest(&mut BufStream::new(a)).await.unwrap_err();
        assert_eq!(closed.kind(), std::io::ErrorKind::UnexpectedEof);
        let (a, b) = duplex(64);
        drop(b);
        io::host(&mut BufStream::new(a), NEW).await.unwrap_err();
    }
}
