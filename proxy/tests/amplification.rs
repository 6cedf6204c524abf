//! What hostile bytes make the proxy ask of the allocator: at most ten times their own number, beyond what any
//! connection is given, and at most ten allocations a frame. Counted, not timed, so that it is the same everywhere.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test is a client of the proxy, not the proxy"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use counting::{CALLS, IS_PROXY, LIVE, PEAK};
use proxy::{Options, Proxy};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

mod counting;

/// Most bytes held for each byte sent, and most allocations for each frame.
const FACTOR: usize = 10;

/// What any connection may have, whatever it says: buffers, and the two sides of TLS and HTTP/2.
const PLAIN: usize = 128 * 1024;
const SECURE: usize = 384 * 1024;

/// Frames in a flood: what the sockets hold, so that nobody need read meanwhile.
const FRAMES: usize = 20_000;

/// A proxy with a thread to itself, which allows `localhost:9` and nothing else. Nobody listens there.
fn proxy(dir: &TempDir) -> (SocketAddr, String) {
    let config = dir.path().join("proxy-config.json");
    std::fs::write(
        &config,
        r#"{"policy":"deny","network":{"allowedDomains":["localhost:9"]}}"#,
    )
    .unwrap();
    let mut options = Options::new("amplification", config, dir.path().join("ca"));
    options.log = Some(dir.path().join("network.jsonl"));
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
            let address = listener.local_addr().unwrap();
            send.send((address, proxy.ca_pem().to_owned())).unwrap();
            proxy.serve(listener).await.unwrap();
        });
    });
    receive.recv().unwrap()
}

/// A whole request that is refused: when it is answered, the proxy's one thread has seen what came before it.
fn settle(proxy: SocketAddr) {
    for _ in 0..20 {
        let mut stream = TcpStream::connect(proxy).unwrap();
        stream
            .write_all(
                b"GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\nConnection: close\r\n\r\n",
            )
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 403 "));
    }
}

type Secure = StreamOwned<ClientConnection, TcpStream>;

fn secure(proxy: SocketAddr, ca: &str) -> Secure {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream
        .write_all(b"CONNECT localhost:9 HTTP/1.1\r\nHost: localhost:9\r\n\r\n")
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, stream);
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    stream.flush().unwrap();
    stream
}

/// Peak and number of allocations while `attack` sends, with what it returns held until all is seen.
fn cost<T>(proxy: SocketAddr, attack: impl FnOnce() -> T) -> (usize, usize) {
    settle(proxy);
    let (live, calls) = (LIVE.load(Relaxed), CALLS.load(Relaxed));
    PEAK.store(live, Relaxed);
    let held = attack();
    settle(proxy);
    drop(held);
    settle(proxy);
    let peak = usize::try_from(PEAK.load(Relaxed) - live).unwrap();
    (peak, CALLS.load(Relaxed) - calls)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[test]
fn hostile_bytes_cost_ten_times_themselves_at_most() {
    let dir = TempDir::new().unwrap();
    let (address, ca) = proxy(&dir);
    // What is there once and for all.
    drop(secure(address, &ca));

    let chunks = "POST http://localhost:9/ HTTP/1.1\r\nHost: localhost:9\r\nTransfer-Encoding: chunked\r\n\r\n";
    let plain: [(&str, Vec<u8>); 6] = [
        ("a byte", b"G".to_vec()),
        (
            "a long field",
            format!("GET http://a/ HTTP/1.1\r\nX: {}", "y".repeat(31_000)).into(),
        ),
        (
            "many fields",
            format!("GET http://a/ HTTP/1.1\r\n{}", "X: y\r\n".repeat(5000)).into(),
        ),
        (
            "a long target",
            format!(
                "GET http://a/{} HTTP/1.1\r\nHost: a\r\n\r\n",
                "%2f".repeat(10_000)
            )
            .into(),
        ),
        (
            "small chunks",
            format!("{chunks}{}", "1\r\na\r\n".repeat(10_000)).into(),
        ),
        (
            "many requests",
            "GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\n\r\n"
                .repeat(500)
                .into(),
        ),
    ];
    for (what, bytes) in plain {
        let sent = bytes.len();
        let (peak, calls) = cost(address, || {
            let mut stream = TcpStream::connect(address).unwrap();
            // An answer and an end may come before all is sent.
            let _ = stream.write_all(&bytes);
            stream
        });
        println!("{what}: {sent} bytes, {peak} held, {calls} allocations");
        assert!(
            peak <= FACTOR * sent + PLAIN,
            "{what}: {sent} sent, {peak} held"
        );
    }

    // Fields: literals, not indexed, each name and value below 127 bytes.
    let field = |name: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).unwrap();
        [
            &[0, length(name)],
            name.as_bytes(),
            &[length(value)],
            value.as_bytes(),
        ]
        .concat()
    };
    let head = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost:9"),
        (":path", "/"),
    ]
    .map(|(name, value)| field(name, value))
    .concat();
    // 4000 bytes put into the table, then named in a byte each: 16 KiB that would be 48 MB.
    let bomb = [
        &head[..],
        &[0x40, 1, b'x', 0x7f, 0xa1, 0x1e],
        &[b'y'; 4000],
        &[0xbe; 12_000],
    ]
    .concat();
    let rounds: [(&str, Vec<u8>, usize); 7] = [
        ("pings", frame(6, 0, 0, &[7; 8]), FRAMES),
        ("settings", frame(4, 0, 0, &[]), FRAMES),
        ("priorities", frame(2, 0, 1, &[0, 0, 0, 3, 0]), FRAMES),
        ("unknown frames", frame(0xfe, 0, 0, &[7; 8]), FRAMES),
        ("windows", frame(8, 0, 0, &[0, 0, 0, 1]), FRAMES),
        ("a bomb", frame(1, 5, 1, &bomb), 1),
        (
            "continuations",
            [
                frame(1, 1, 1, &head),
                frame(9, 0, 1, &field("x", "y")).repeat(1000),
            ]
            .concat(),
            1,
        ),
    ];
    for (what, round, count) in rounds {
        let sent = round.len() * count;
        let (peak, calls) = cost(address, || {
            let mut stream = secure(address, &ca);
            let _ = stream.write_all(&round.repeat(count));
            let _ = stream.flush();
            stream
        });
        println!("{what}: {sent} bytes, {peak} held, {calls} allocations");
        assert!(
            peak <= FACTOR * sent + SECURE,
            "{what}: {sent} sent, {peak} held"
        );
        // What settling and a connection take is some thousands.
        let most = FACTOR * count + 20_000;
        assert!(calls <= most, "{what}: {calls} allocations");
    }

    // Names that are refused leave nothing behind, however many there are.
    let (refused, _) = cost(address, || {
        for number in 0..2000 {
            let mut stream = TcpStream::connect(address).unwrap();
            let request =
                format!("CONNECT n{number}.test:443 HTTP/1.1\r\nHost: n{number}.test:443\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
        }
    });
    println!("refused names: {refused} held");
    assert!(
        refused < PLAIN,
        "{refused} bytes are held for refused names"
    );
}
