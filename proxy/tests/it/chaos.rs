//! F32: a network that loses, doubles and reorders packets corrupts nothing, read or unread.

use std::process::Command;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::Response;
use tokio::io::AsyncReadExt as _;

use crate::support::h2::{Body, Origin};
use crate::support::pki::Flaw;
use crate::support::world::config;
use crate::support::{Tunnel, World, soon};

/// Set in the process that has the bad network.
const INSIDE: &str = "SANDBOX_TEST_CHAOS";

/// Bytes through each of the two ways. Retransmissions of a kernel wait 200 ms at least, so this takes a while.
const LENGTH: usize = 32 * 1024 * 1024;

/// Loopback of its own, with the best trouble there is: `netem` where the kernel has it, or else lost packets only.
const TROUBLE: &str = "\
ip link set lo up || exit 77
if tc qdisc add dev lo root netem delay 1ms loss 5% duplicate 1% reorder 25% 50% 2>/dev/null
then echo 'network: loss 5 %, duplicate 1 %, reorder 25 %'
elif iptables -A OUTPUT -o lo -p tcp -m statistic --mode random --probability 0.05 -j DROP 2>/dev/null
then echo 'network: loss 5 %; the kernel has no netem'
else exit 77
fi
exec \"$@\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_network_corrupts_nothing() {
    if std::env::var_os(INSIDE).is_some() {
        for bypassed in [false, true] {
            carried(bypassed).await;
        }
        return;
    }
    let test = "chaos::a_bad_network_corrupts_nothing";
    let outcome = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "sh",
            "-c",
            TROUBLE,
            "sh",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output();
    let Ok(outcome) = outcome else {
        println!("left out: there is no `unshare` to make a network of its own");
        return;
    };
    let (said, wrong) = (
        String::from_utf8_lossy(&outcome.stdout),
        String::from_utf8_lossy(&outcome.stderr),
    );
    if outcome.status.code() == Some(77) || wrong.starts_with("unshare:") {
        println!("left out: no bad network can be made here: {wrong}");
        return;
    }
    assert!(
        outcome.status.success() && said.contains("1 passed"),
        "{said}\n{wrong}"
    );
    println!("{said}");
}

/// What is sent, by its number.
fn piece(number: usize) -> Bytes {
    let seed = number.wrapping_mul(0x9e37_79b9).to_le_bytes();
    Bytes::from(seed.repeat(2048))
}

/// The same bytes arrive as were sent.
async fn carried(bypassed: bool) {
    let pieces = LENGTH / piece(0).len();
    let world = World::new(r#"{"policy":"deny"}"#).await;
    let tls = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    let origin = Origin::start(tls, move |_| {
        let frames = (0..pieces).map(|number| Ok(hyper::body::Frame::data(piece(number))));
        let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
        Response::new(Body::new(body))
    })
    .await;
    let authority = format!("canary.test:{}", origin.address.port());
    let bypass: &[&str] = if bypassed { &["canary.test"] } else { &[] };
    world.set(&config("deny", &[&authority], &[], bypass));
    world.dns.points("canary.test", &["127.0.0.1"]);
    let ca = match bypassed {
        false => world.ca(),
        true => std::fs::read_to_string(world.dir.path().join("origin-ca.pem")).unwrap(),
    };
    let mut tunnel: Tunnel<_> = world
        .connect(&authority)
        .await
        .unwrap()
        .tls(&ca, "canary.test")
        .await
        .unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    tunnel.send(request.as_bytes()).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(tunnel.exactly(1).await);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let mut sent = Context::new(&SHA256);
    (0..pieces).for_each(|number| sent.update(&piece(number)));
    let received = tokio::time::timeout(Duration::from_secs(240), body(&mut tunnel)).await;
    let (length, received) = received.unwrap();
    assert_eq!(length, LENGTH);
    assert_eq!(
        received.as_ref(),
        sent.finish().as_ref(),
        "bypassed: {bypassed}"
    );
}

/// Length and hash of a chunked body.
async fn body<I>(tunnel: &mut Tunnel<I>) -> (usize, aws_lc_rs::digest::Digest)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut hash = Context::new(&SHA256);
    let mut length = 0;
    let mut reader = tokio::io::BufReader::with_capacity(64 * 1024, &mut tunnel.io);
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(soon("a chunk's size", reader.read_u8()).await.unwrap());
        }
        let size = str::from_utf8(&line).unwrap().trim();
        let size = usize::from_str_radix(size, 16).unwrap();
        let mut chunk = vec![0; size + 2];
        soon("a chunk", reader.read_exact(&mut chunk))
            .await
            .unwrap();
        if size == 0 {
            return (length, hash.finish());
        }
        hash.update(&chunk[..size]);
        length += size;
    }
}
