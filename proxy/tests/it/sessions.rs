//! TLS beyond the plain handshake: sessions that are resumed, data that comes early, hellos that are encrypted.

use std::sync::Arc;

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, EchConfig, EchGreaseConfig, EchMode, Resumption,
    Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128;
use rustls::crypto::hpke::Hpke as _;
use rustls::pki_types::{EchConfigListBytes, ServerName};
use rustls::{ClientConfig, HandshakeKind, NamedGroup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::client::{self, client_config};
use crate::support::origin::ok;
use crate::support::pki::{self, Flaw};
use crate::support::world::{config, deny};
use crate::support::{Canary, Tunnel, World, soon};

async fn world(bypassed: &[&str]) -> (World, Canary, u16) {
    let world = World::new(&deny(&[])).await;
    let tls = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    let canary = Canary::https(tls, |_| ok("hello")).await;
    let port = canary.port();
    let hosts = ["canary.test", "second.test"].map(|host| format!("{host}:{port}"));
    let allowed: Vec<_> = hosts.iter().map(String::as_str).collect();
    world.set(&config("deny", &allowed, &[], bypassed));
    for host in ["canary.test", "second.test"] {
        world.dns.points(host, &["127.0.0.1"]);
    }
    (world, canary, port)
}

/// Keeps every session as if it were of one server.
#[derive(Debug)]
struct Any(ClientSessionMemoryCache);

impl Any {
    fn server() -> ServerName<'static> {
        ServerName::try_from("any.test").unwrap()
    }
}

impl ClientSessionStore for Any {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(Self::server(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&Self::server())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(Self::server(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&Self::server())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&Self::server());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(Self::server(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&Self::server())
    }
}

/// T9: a session that was begun for one host opens no other: not by its ticket, and not by another server name.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_host_is_worth_nothing() {
    let (world, canary, port) = world(&[]).await;
    let mut config = client_config(&world.ca(), &[b"http/1.1"]);
    config.resumption = Resumption::store(Arc::new(Any(ClientSessionMemoryCache::new(8))));
    // The CONNECT's host, the server name, and how the handshake goes, if it does.
    let rows = [
        ("canary.test", "canary.test", Some(HandshakeKind::Full)),
        ("canary.test", "canary.test", Some(HandshakeKind::Resumed)),
        ("second.test", "second.test", Some(HandshakeKind::Full)),
        ("second.test", "canary.test", None),
        ("canary.test", "second.test", None),
    ];
    for (host, name, expected) in rows {
        let authority = format!("{host}:{port}");
        let tunnel = world.connect(&authority).await.unwrap();
        let mut tunnel = match tunnel.tls_with(config.clone(), name).await {
            Ok(tunnel) => tunnel,
            Err(error) => {
                assert_eq!(expected, None, "{host} {name}: {error}");
                continue;
            }
        };
        // Tickets come with the first answer. The origin is `canary.test` only.
        let status = tunnel.get(&authority, "/").await.unwrap().status;
        assert_eq!(status, if host == "canary.test" { 200 } else { 502 });
        let kind = tunnel.io.get_ref().1.handshake_kind();
        assert_eq!(kind, expected, "{host} {name}");
    }
    // Nor does a session outlive what the policy says of its host.
    world.set(&deny(&[&format!("second.test:{port}")]));
    let refused = world.connect(&format!("canary.test:{port}")).await;
    assert_eq!(refused.err().unwrap().status, 403);
    assert_eq!(canary.requests().len(), 2);
}

/// Towards origins, too: the next connection resumes the session of the one before.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_with_origins_are_resumed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = format!("canary.test:{}", listener.local_addr().unwrap().port());
    let world = World::new(&deny(&[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    let (kinds, mut shook) = tokio::sync::mpsc::unbounded_channel();
    let tls = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    let tls = TlsAcceptor::from(tls);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = tls.accept(stream).await else {
                continue;
            };
            kinds.send(stream.get_ref().1.handshake_kind()).unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    break;
                };
                head.push(byte);
            }
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut tunnel = world.inside(&authority).await;
        assert_eq!(tunnel.get(&authority, "/").await.unwrap().body, "hi");
        seen.push(soon("a handshake", shook.recv()).await.unwrap().unwrap());
    }
    let (full, resumed) = (HandshakeKind::Full, HandshakeKind::Resumed);
    assert_eq!(seen, [full, resumed, resumed]);
}

/// T7: nobody's data is taken before the handshake is done (RFC 8446 §8: it could be sent twice). The control is a server
/// that takes it.
#[tokio::test(flavor = "multi_thread")]
async fn no_data_comes_early() {
    let (world, _canary, port) = world(&[]).await;
    let mut config = client_config(&world.ca(), &[b"http/1.1"]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut early = Vec::new();
    for _ in 0..2 {
        let authority = format!("canary.test:{port}");
        let tunnel = world.connect(&authority).await.unwrap();
        let name = ServerName::try_from("canary.test").unwrap();
        let mut offered = false;
        let connecting = TlsConnector::from(config.clone()).connect_with(name, tunnel.io, |tls| {
            offered = tls.early_data().is_some();
        });
        let io = soon("a handshake", connecting).await.unwrap();
        early.push((io.get_ref().1.handshake_kind(), offered));
        let mut tunnel = Tunnel { io };
        assert_eq!(tunnel.get(&authority, "/").await.unwrap().status, 200);
    }
    let (full, resumed) = (HandshakeKind::Full, HandshakeKind::Resumed);
    assert_eq!(early, [(Some(full), false), (Some(resumed), false)]);

    let mut eager = (*world.pki.server("canary.test", Flaw::None, &[b"http/1.1"])).clone();
    eager.max_early_data_size = 1024;
    let eager = Canary::https(Arc::new(eager), |_| ok("hello")).await;
    let roots = std::fs::read_to_string(world.dir.path().join("origin-ca.pem")).unwrap();
    let mut config = client_config(&roots, &[b"http/1.1"]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut offers = Vec::new();
    for _ in 0..2 {
        let name = ServerName::try_from("canary.test").unwrap();
        let io = client::connect(eager.address).await;
        let mut offered = false;
        let connecting = TlsConnector::from(config.clone())
            .connect_with(name, io, |tls| offered = tls.early_data().is_some());
        let mut tunnel = Tunnel {
            io: soon("a handshake", connecting).await.unwrap(),
        };
        offers.push(offered);
        assert_eq!(tunnel.get("canary.test", "/").await.unwrap().status, 200);
    }
    assert_eq!(offers, [false, true], "the control");
}

/// D6: a hello that only looks encrypted (GREASE) is served; one whose outer name is not the CONNECT host is refused, read
/// or unread, whatever the name inside.
#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_hello_hides_no_host() {
    let suite = DH_KEM_X25519_HKDF_SHA256_AES_128;
    let (public, _) = suite.generate_key_pair().unwrap();
    let grease = EchMode::Grease(EchGreaseConfig::new(suite, public.clone()));
    let hidden = |outer: &str| {
        let list = EchConfigListBytes::from(ech_config(&public.0, outer));
        EchMode::Enable(EchConfig::new(list, &[suite]).unwrap())
    };
    for bypassed in [&[][..], &["canary.test"]] {
        let (world, canary, port) = world(bypassed).await;
        let authority = format!("canary.test:{port}");
        let ca = match bypassed {
            [] => world.ca(),
            _ => std::fs::read_to_string(world.dir.path().join("origin-ca.pem")).unwrap(),
        };
        let handshake = async |mode: EchMode| {
            let tunnel = world.connect(&authority).await.unwrap();
            tunnel.tls_with(with_ech(&ca, mode), "canary.test").await
        };
        let mut tunnel = handshake(grease.clone()).await.unwrap();
        assert_eq!(tunnel.get(&authority, "/").await.unwrap().status, 200);
        let before = canary.seen().bytes.len();
        for outer in ["cloudflare-ech.test", "evil.test"] {
            let error = handshake(hidden(outer)).await.err().unwrap().to_string();
            assert!(error.contains("UnrecognisedName"), "{outer}: {error}");
        }
        assert_eq!(canary.seen().bytes.len(), before);
        world
            .event("the line", |event| {
                event.reason.as_deref() == Some("server-name")
                    && event
                        .message
                        .as_deref()
                        .is_some_and(|text| text.contains("evil.test"))
            })
            .await;
    }
}

fn with_ech(ca: &str, mode: EchMode) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(pki::provider())
        .with_ech(mode)
        .unwrap()
        .with_root_certificates(client::roots(ca))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// An `ECHConfigList` with one entry (RFC 9849 §4): X25519, HKDF-SHA256, AES-128-GCM.
fn ech_config(public: &[u8], outer: &str) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let mut contents = vec![7, 0x00, 0x20];
    contents.extend(length(public));
    contents.extend_from_slice(public);
    contents.extend([0, 4, 0x00, 0x01, 0x00, 0x01, 64]);
    contents.push(u8::try_from(outer.len()).unwrap());
    contents.extend_from_slice(outer.as_bytes());
    contents.extend([0, 0]);
    let mut entry = vec![0xfe, 0x0d];
    entry.extend(length(&contents));
    entry.extend(contents);
    [length(&entry).to_vec(), entry].concat()
}
