use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use rustix::thread::UnshareFlags;

use super::*;
use crate::boot::{netlink, network};

/// A network of this thread's own, as the guest's is. False where that takes a privilege we lack: the
/// microVM tests then are the proof.
fn in_a_network_of_its_own() -> bool {
    // SAFETY: NEWNET leaves memory and descriptors alone.
    if unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.is_err() {
        return false;
    }
    netlink::set_up(network::LOOPBACK_INDEX).unwrap();
    network::add_own_address().unwrap();
    true
}

#[test]
fn any_synthetic_address_and_port_reaches_the_one_listener() {
    if !in_a_network_of_its_own() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let listener = runtime
        .block_on(TcpListener::bind(("127.0.0.1", 0)))
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    steer(&listener).unwrap();
    // A program's own listener on every address is in nobody's way, nor we in its.
    let own = std::net::TcpListener::bind(("0.0.0.0", 443)).unwrap();

    for dialled in [
        "198.18.0.2:22",
        "198.18.1.0:443",
        "198.18.77.3:1",
        "198.19.255.254:65535",
    ] {
        let dialled: SocketAddr = dialled.parse().unwrap();
        let mut client = TcpStream::connect(dialled).unwrap();
        let (server, _) = runtime.block_on(listener.accept()).unwrap();
        assert_eq!(server.local_addr().unwrap(), dialled);
        client.write_all(b"x").unwrap();
        drop(server);
        assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    }
    for (not_ours, reached) in [
        ("198.18.0.1:443", true),
        ("127.0.0.1:443", true),
        ("198.18.0.1:444", false),
        ("198.18.0.2:3128", false),
    ] {
        assert_eq!(TcpStream::connect(not_ours).is_ok(), reached, "{not_ours}");
    }
    own.set_nonblocking(true).unwrap();
    assert_eq!(std::iter::from_fn(|| own.accept().ok()).count(), 2);
    assert_ne!(port, 443);

    // Other protocols fail at once: a datagram is refused, and nothing else has a route.
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    udp.connect("198.18.1.0:443").unwrap();
    udp.send(b"quic").unwrap();
    let refused = udp.recv(&mut [0; 16]).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let unreachable = TcpStream::connect("192.0.2.1:443").unwrap_err();
    assert_eq!(unreachable.kind(), io::ErrorKind::NetworkUnreachable);
}
