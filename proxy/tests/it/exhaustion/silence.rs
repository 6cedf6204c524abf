//! Who says little, slowly or nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proxy::Limits;
use tokio::io::{copy_bidirectional_with_sizes, duplex};
use tokio_rustls::TlsConnector;

use crate::support::client::client_config;
use crate::support::origin::ok;
use crate::support::world::{config, deny};
use crate::support::{Reply, Tunnel, soon};
use crate::threats::{Adapter, Rig};

/// C4, R1: a tunnel in which nobody has spoken yet is taken back like any other, and idles like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_is_not_forgotten() {
    for bypassed in [&["canary.test"][..], &[]] {
        let rig = Rig::new().await;
        let authority = rig.authority(Adapter::Tunnel);
        rig.world.set(&config("deny", &[&authority], &[], bypassed));
        let mut tunnel = rig.world.connect(&authority).await.unwrap();
        let cut = Instant::now();
        rig.world.set(&deny(&[]));
        assert_eq!(tunnel.rest().await, b"");
        assert!(
            cut.elapsed() < Duration::from_secs(1),
            "{bypassed:?} {:?}",
            cut.elapsed()
        );
        rig.world.told("revoked").await;
    }
    let limits = Limits {
        tunnel_idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let rig = Rig::with(limits, |_| Reply::Hang).await;
    let mut tunnel = rig.open_tunnel().await;
    assert_eq!(tunnel.rest().await, b"");
    rig.world.told("stalled").await;
}

/// R1, T7: whoever says a little and then nothing is let go, however it came.
#[tokio::test(flavor = "multi_thread")]
async fn half_sentences_run_out_of_time() {
    let limits = Limits {
        head: Duration::from_millis(200),
        idle: Duration::from_millis(300),
        handshake: Duration::from_millis(300),
        ..Limits::default()
    };
    let rig = Rig::with(limits, |_| ok("hello")).await;
    let secure = rig.authority(Adapter::Http1);
    for begin in [
        "",
        "G",
        "GET http://",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\nX: ",
    ] {
        let mut client = rig.world.dial().await;
        client.send(begin.as_bytes()).await;
        assert_eq!(client.rest().await, b"", "{begin:?}");
    }
    let mut hello = Vec::new();
    let config = Arc::new(client_config(&rig.world.ca(), &[]));
    let name = "canary.test".try_into().unwrap();
    rustls::ClientConnection::new(config, name)
        .unwrap()
        .write_tls(&mut hello)
        .unwrap();
    // Nothing, half a record, a record in which the hello is not over, and a hello without what follows.
    for length in [0, 3, 40, hello.len()] {
        let mut tunnel = rig.world.connect(&secure).await.unwrap();
        tunnel.send(&hello[..length]).await;
        tunnel.rest().await;
    }
    for adapter in [Adapter::Tunnel, Adapter::Http1] {
        let mut wire = rig.wire(adapter).await;
        wire.send(b"GET / HT").await;
        wire.rest().await;
        // After an answer, the connection waits for the next question no longer than this.
        let mut wire = rig.wire(adapter).await;
        wire.send(&rig.text(adapter, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(wire.answer().await.unwrap().status, 200);
        wire.rest().await;
    }
}

/// T7: a hello in pieces is a hello.
#[tokio::test(flavor = "multi_thread")]
async fn a_hello_may_come_byte_by_byte() {
    let rig = Rig::new().await;
    let secure = rig.authority(Adapter::Http1);
    let tunnel = rig.world.connect(&secure).await.unwrap();
    let (near, far) = duplex(1);
    tokio::spawn(async move {
        let (mut far, mut io) = (far, tunnel.io);
        let _ = copy_bidirectional_with_sizes(&mut far, &mut io, 1, 4096).await;
    });
    let tls = TlsConnector::from(Arc::new(client_config(&rig.world.ca(), &[])));
    let io = soon(
        "a handshake",
        tls.connect("canary.test".try_into().unwrap(), near),
    )
    .await;
    let mut tunnel = Tunnel { io: io.unwrap() };
    assert_eq!(tunnel.get(&secure, "/").await.unwrap().status, 200);
}
