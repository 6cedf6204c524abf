//! One proxy, two origins that record every byte, and a client for each way in.

use proxy::{Limits, Options};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::Adapter;
use crate::support::client::{client_config, connect};
use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::world::config;
use crate::support::{Canary, Reply, Tunnel, World};

/// The origin, and its twin whose tunnels are not read.
const HOST: &str = "canary.test";
const OPEN: &str = "open.test";

/// What a WebSocket's handshake adds to a request.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub(crate) const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// Any byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<I: AsyncRead + AsyncWrite + Unpin + Send> Stream for I {}

/// A client's connection, whatever carries it.
pub(crate) type Wire = Tunnel<Box<dyn Stream>>;

pub(crate) struct Rig {
    pub(crate) world: World,
    plain: Canary,
    tls: Canary,
    open_plain: Canary,
    open_tls: Canary,
}

impl Rig {
    /// Origins that say 101 to a WebSocket and 200 to anything else.
    pub(crate) async fn new() -> Self {
        Self::answering(
            |request| match request.to_lowercase().contains("upgrade: websocket") {
                true => Reply::Echo(SWITCH.to_vec()),
                false => ok("hello"),
            },
        )
        .await
    }

    pub(crate) async fn answering(
        script: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::with(Limits::default(), script).await
    }

    pub(crate) async fn with(
        limits: Limits,
        script: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::at("127.0.0.1:0", limits, script).await
    }

    /// With origins that listen at `bind`.
    pub(crate) async fn at(
        bind: &str,
        limits: Limits,
        script: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::made(bind, |options| options.limits = limits, script).await
    }

    /// The same, with options that `change` has changed.
    pub(crate) async fn made(
        bind: &str,
        change: impl FnOnce(&mut Options),
        script: impl Fn(&str) -> Reply + Clone + Send + Sync + 'static,
    ) -> Self {
        let world = World::made(&config("deny", &[], &[], &[]), change).await;
        let certificate = |host| world.pki.server(host, Flaw::None, &[b"http/1.1"]);
        let bound = async || TcpListener::bind(bind).await.unwrap();
        let rig = Self {
            plain: Canary::http_on(bound().await, script.clone()),
            tls: Canary::https_on(bound().await, certificate(HOST), script.clone()),
            open_plain: Canary::http_on(bound().await, script.clone()),
            open_tls: Canary::https_on(bound().await, certificate(OPEN), script),
            world,
        };
        for name in [HOST, OPEN] {
            rig.world.dns.points(name, &["127.0.0.1"]);
        }
        rig.allow_all();
        rig
    }

    /// The origins' names with their ports are allowed, and the open one's tunnels are not read.
    pub(crate) fn allow_all(&self) {
        let rules = [
            (HOST, &self.plain),
            (HOST, &self.tls),
            (OPEN, &self.open_plain),
            (OPEN, &self.open_tls),
        ]
        .map(|(host, origin)| format!("{host}:{}", origin.port()));
        self.world.set(&config(
            "deny",
            &rules.each_ref().map(String::as_str),
            &[],
            &[OPEN],
        ));
    }

    /// Where `adapter`'s requests end up.
    pub(crate) fn origin(&self, adapter: Adapter) -> &Canary {
        match adapter.is_tls() {
            true => &self.tls,
            false => &self.plain,
        }
    }

    pub(crate) fn authority(&self, adapter: Adapter) -> String {
        format!("{HOST}:{}", self.origin(adapter).port())
    }

    /// A connection on which `adapter`'s requests are judged.
    pub(crate) async fn wire(&self, adapter: Adapter) -> Wire {
        if adapter == Adapter::Absolute {
            let io = connect(self.world.address).await;
            return Tunnel { io: Box::new(io) };
        }
        let authority = self.authority(adapter);
        let tunnel = self.world.connect(&authority).await.unwrap();
        if !adapter.is_tls() {
            return Tunnel {
                io: Box::new(tunnel.io),
            };
        }
        let alpn: &[u8] = match adapter {
            Adapter::Http2 => b"h2",
            _ => b"http/1.1",
        };
        let config = client_config(&self.world.ca(), &[alpn]);
        let tunnel = tunnel.tls_with(config, HOST).await.unwrap();
        Tunnel {
            io: Box::new(tunnel.io),
        }
    }

    /// Its twin, whose tunnels are not read.
    pub(crate) fn opened(&self, adapter: Adapter) -> &Canary {
        match adapter.is_tls() {
            true => &self.open_tls,
            false => &self.open_plain,
        }
    }

    /// A tunnel to the twin in which nothing was said yet.
    pub(crate) async fn open_tunnel(&self) -> Tunnel {
        let authority = format!("{OPEN}:{}", self.open_plain.port());
        self.world.connect(&authority).await.unwrap()
    }

    /// A connection to the twin that nobody reads: the guard is lifted by the policy.
    async fn unguarded(&self, adapter: Adapter) -> Wire {
        let authority = format!("{OPEN}:{}", self.opened(adapter).port());
        let tunnel = self.world.connect(&authority).await.unwrap();
        if !adapter.is_tls() {
            return Tunnel {
                io: Box::new(tunnel.io),
            };
        }
        let ca = std::fs::read_to_string(self.world.dir.path().join("origin-ca.pem")).unwrap();
        let tunnel = tunnel
            .tls_with(client_config(&ca, &[]), OPEN)
            .await
            .unwrap();
        Tunnel {
            io: Box::new(tunnel.io),
        }
    }

    /// Sends `bytes` where nobody reads them, and waits until all of them are at the twin.
    pub(crate) async fn control(&self, adapter: Adapter, bytes: &[u8]) {
        let origin = self.opened(adapter);
        let before = origin.seen().bytes.len();
        let mut wire = self.unguarded(adapter).await;
        wire.send(bytes).await;
        let what = format!("{adapter:?} unguarded: {}", bytes.escape_ascii());
        origin
            .until(&what, |seen| seen.bytes.len() >= before + bytes.len())
            .await;
        assert!(origin.seen().bytes[before..].starts_with(bytes), "{what}");
    }

    /// A head as `adapter` says it. `{at}` stands for what precedes the path, `{host}` for the origin, `{xa0}` for a byte.
    pub(crate) fn text(&self, adapter: Adapter, head: &str) -> Vec<u8> {
        let authority = self.authority(adapter);
        let at = match adapter {
            Adapter::Absolute => format!("http://{authority}"),
            _ => String::new(),
        };
        let mut text = head.replace("{at}", &at).replace("{host}", &authority);
        if adapter == Adapter::WebSocket
            && let Some(end) = text.find('\n')
        {
            text.insert_str(end + 1, UPGRADE);
        }
        // The one byte of Latin-1 that some readers take for a space.
        let mut bytes = Vec::new();
        for (number, part) in text.split("{xa0}").enumerate() {
            bytes.extend((number > 0).then_some(0xa0));
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}
