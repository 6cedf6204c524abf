//! D5: server names that are none, or not the tunnel's, as bytes: no TLS library sends them.

use tokio::io::AsyncReadExt as _;

use super::{Adapter, Rig};
use crate::support::{Tunnel, soon};

/// Types of records (RFC 8446 §5.1), and what an alert says (§6).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const UNRECOGNIZED_NAME: u8 = 112;

/// What becomes of a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is for the tunnel's host: it is answered, or passed on to the origin.
    Taken,
    /// An alert, and the end.
    Refused,
}

use Fate::{Refused, Taken};

fn vec8(value: &[u8]) -> Vec<u8> {
    [&[u8::try_from(value.len()).unwrap()], value].concat()
}

fn vec16(value: &[u8]) -> Vec<u8> {
    [&u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// The extension with these entries: kind and name (RFC 6066 §3).
fn server_name(entries: &[(u8, &[u8])]) -> Vec<u8> {
    let entry = |(kind, name): &(u8, &[u8])| [vec![*kind], vec16(name)].concat();
    let list: Vec<u8> = entries.iter().flat_map(entry).collect();
    [vec![0, 0], vec16(&vec16(&list))].concat()
}

/// A hello for TLS 1.2 that names one suite, one group and one signature, and then these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let groups = [vec![0, 10], vec16(&vec16(&[0, 29]))].concat();
    let signatures = [vec![0, 13], vec16(&vec16(&[4, 3]))].concat();
    let master_secret = vec![0, 23, 0, 0];
    let extensions = [&groups, &signatures, &master_secret, extensions].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &vec8(&[]),
        &vec16(&[0xc0, 0x2b]),
        &vec8(&[0]),
        &vec16(&extensions),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1], &length[1..], &body].concat();
    [&[22, 3, 1][..], &vec16(&message)].concat()
}

/// The rows for a tunnel to `host`: what is in the extension, and what becomes of it where the proxy ends TLS, and where
/// it does not.
fn rows(host: &str) -> Vec<(&'static str, Vec<u8>, [Fate; 2])> {
    let name = host.as_bytes();
    let one = |name: &[u8]| server_name(&[(0, name)]);
    let long = [vec![b'a'; 250], b".test".to_vec()].concat();
    vec![
        ("the host", one(name), [Taken; 2]),
        ("none", Vec::new(), [Taken, Refused]),
        ("another", one(b"evil.test"), [Refused; 2]),
        ("one below", one(&[b"www.", name].concat()), [Refused; 2]),
        (
            "one that begins with it",
            one(&[name, b".evil.test"].concat()),
            [Refused; 2],
        ),
        (
            "NUL behind it",
            one(&[name, b"\0.evil.test"].concat()),
            [Refused; 2],
        ),
        ("NUL alone", one(b"\0"), [Refused; 2]),
        ("nothing", one(b""), [Refused; 2]),
        ("two dots", one(&[name, b".."].concat()), [Refused; 2]),
        ("an underscore", one(b"can_ary.test"), [Refused; 2]),
        ("too long", one(&long), [Refused; 2]),
        ("an address", one(b"127.0.0.1"), [Refused; 2]),
        ("no UTF-8", one(b"\xff\xfe"), [Refused; 2]),
        (
            "two names",
            server_name(&[(0, name), (0, b"evil.test")]),
            [Refused; 2],
        ),
        (
            "another and it",
            server_name(&[(0, b"evil.test"), (0, name)]),
            [Refused; 2],
        ),
        ("an unknown kind", server_name(&[(9, name)]), [Refused; 2]),
        ("no list", vec![0, 0, 0, 0], [Refused; 2]),
        ("a list cut short", vec![0, 0, 0, 2, 0, 9], [Refused; 2]),
        (
            "the extension twice",
            [one(name), one(b"evil.test")].concat(),
            [Refused; 2],
        ),
    ]
}

/// The first record that comes back: its type, and of an alert what it says.
async fn first(tunnel: &mut Tunnel) -> Option<(u8, u8)> {
    let mut record = [0; 7];
    let read = soon("a record, or the end", tunnel.io.read_exact(&mut record)).await;
    read.ok().map(|_| (record[0], record[6]))
}

/// Where the proxy ends TLS, a hello that is taken is answered.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_none() {
    let rig = Rig::new().await;
    let authority = rig.authority(Adapter::Http1);
    let origin = rig.origin(Adapter::Http1);
    for (what, extension, [fate, _]) in rows("canary.test") {
        let mut tunnel = rig.world.connect(&authority).await.unwrap();
        tunnel.send(&hello(&extension)).await;
        let came = first(&mut tunnel).await;
        match fate {
            Taken => assert!(matches!(came, Some((HANDSHAKE, _))), "{what} {came:?}"),
            Refused => assert!(matches!(came, None | Some((ALERT, _))), "{what} {came:?}"),
        }
        if matches!(what, "another" | "one below") {
            assert_eq!(came, Some((ALERT, UNRECOGNIZED_NAME)), "{what}");
        }
        assert_eq!(origin.seen().connections, 0, "{what}");
    }
    assert_eq!(rig.world.proxy.counters().panics, 0);
}

/// Where it does not, one that is taken is passed on as it is, and of any other the origin hears nothing.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_none_in_a_tunnel_that_is_not_read() {
    let rig = Rig::new().await;
    // It speaks no TLS, and so records the very bytes.
    let origin = rig.opened(Adapter::Tunnel);
    let mut arrived = Vec::new();
    for (what, extension, [_, fate]) in rows("open.test") {
        let hello = hello(&extension);
        let mut tunnel = rig.open_tunnel().await;
        tunnel.send(&hello).await;
        match fate {
            Taken => {
                arrived.extend(hello);
                origin.until(what, |seen| seen.bytes == arrived).await;
            }
            Refused => {
                let came = first(&mut tunnel).await;
                assert!(matches!(came, None | Some((ALERT, _))), "{what} {came:?}");
                assert_eq!(origin.seen().bytes, arrived, "{what}");
            }
        }
    }
    assert_eq!(rig.world.proxy.counters().panics, 0);
}
