//! What a connection holds while nothing happens on it: bytes asked of the allocator, not resident pages, so that the
//! figure is the same on every machine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test is a client of the proxy, not the proxy"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use counting::{IS_PROXY, LIVE};
use proxy::{Limits, Options, Proxy};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, StreamOwned};
use tempfile::TempDir;

mod counting;
#[path = "it/support/pki.rs"]
mod pki;

/// A tunnel on which a few bytes went both ways and then nothing.
const TUNNEL: isize = 3_200;

/// An intercepted connection whose origin has begun an answer and says no more: two TLS sessions.
const INTERCEPTED: isize = 24_576;

/// Connections that warm pools and tables, and those that are counted.
const WARM: usize = 10;
const COUNTED: usize = 40;

/// A proxy with a thread to itself. `localhost` is intercepted on one port and tunnelled on another.
fn proxy(
    dir: &TempDir,
    trust: std::path::PathBuf,
    intercepted: u16,
    tunnelled: u16,
) -> (SocketAddr, String) {
    let config = dir.path().join("proxy-config.json");
    let text = format!(
        r#"{{"policy":"deny","network":{{"allowedDomains":["localhost:{intercepted}","localhost:{tunnelled}"],
            "bypassDomains":["localhost:{tunnelled}"]}}}}"#
    );
    std::fs::write(&config, text).unwrap();
    let mut options = Options::new("memory", config, dir.path().join("ca"));
    options.trust = Some(trust);
    options.limits = Limits {
        connections: 10_000,
        ..Limits::default()
    };
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        IS_PROXY.set(true);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let proxy = Proxy::start(options).await.unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            send.send((listener.local_addr().unwrap(), proxy.ca_pem().to_owned()))
                .unwrap();
            proxy.serve(listener).await.unwrap();
        });
    });
    receive.recv().unwrap()
}

fn connect(proxy: SocketAddr, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).unwrap();
    write!(
        stream,
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"));
    stream
}

/// Bytes each of `COUNTED` connections holds.
fn cost<T>(mut open: impl FnMut() -> T) -> isize {
    let warm: Vec<T> = (0..WARM).map(|_| open()).collect();
    let before = LIVE.load(Relaxed);
    let counted: Vec<T> = (0..COUNTED).map(|_| open()).collect();
    let each = (LIVE.load(Relaxed) - before) / COUNTED.cast_signed();
    drop((warm, counted));
    each
}

#[test]
fn idle_connections_are_small() {
    let dir = TempDir::new().unwrap();
    let pki = pki::Pki::new("memory");
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let secure = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tunnelled, intercepted) = (
        plain.local_addr().unwrap().port(),
        secure.local_addr().unwrap().port(),
    );
    let (proxy, ca) = proxy(&dir, pki.write(dir.path()), intercepted, tunnelled);

    let tunnel = cost(|| {
        let mut client = connect(proxy, &format!("localhost:{tunnelled}"));
        let (mut origin, _) = plain.accept().unwrap();
        let mut seen = [0; 4];
        client.write_all(b"ping").unwrap();
        origin.read_exact(&mut seen).unwrap();
        origin.write_all(b"pong").unwrap();
        client.read_exact(&mut seen).unwrap();
        (client, origin)
    });

    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let trusting = ClientConfig::builder_with_provider(pki::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (trusting, serving) = (
        Arc::new(trusting),
        pki.server("localhost", pki::Flaw::None, &[]),
    );
    let pair = cost(|| {
        let stream = connect(proxy, &format!("localhost:{intercepted}"));
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(trusting.clone(), name).unwrap();
        let mut client = StreamOwned::new(session, stream);
        write!(
            client,
            "GET / HTTP/1.1\r\nHost: localhost:{intercepted}\r\n\r\n"
        )
        .unwrap();
        let (stream, _) = secure.accept().unwrap();
        let mut origin = StreamOwned::new(ServerConnection::new(serving.clone()).unwrap(), stream);
        let mut request = [0; 4096];
        assert!(origin.read(&mut request).unwrap() > 0);
        origin
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nheld\r\n")
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"held\r\n") {
            let mut more = [0; 4096];
            let length = client.read(&mut more).unwrap();
            answer.extend_from_slice(&more[..length]);
        }
        (client, origin)
    });
    assert!(tunnel <= TUNNEL, "an idle tunnel holds {tunnel} bytes");
    assert!(
        pair <= INTERCEPTED,
        "an idle intercepted pair holds {pair} bytes"
    );
}
