//! A running proxy with its files.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use proxy::audit::{self, Event};
use proxy::{Limits, Options, Proxy};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

use super::client::{self, Answer, Tunnel};
use super::dns::Dns;
use super::origin::{Canary, Reply};
use super::pki::Pki;

/// Everything around one proxy.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) dns: Dns,
    pub(crate) pki: Pki,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) address: SocketAddr,
}

/// A `proxy-config.json` that denies by default.
pub(crate) fn deny(allowed: &[&str]) -> String {
    config("deny", allowed, &[], &[])
}

pub(crate) fn config(
    policy: &str,
    allowed: &[&str],
    blocked: &[&str],
    bypassed: &[&str],
) -> String {
    format!(
        r#"{{"policy":"{policy}","network":{{"allowedDomains":{allowed:?},"blockedDomains":{blocked:?},"bypassDomains":{bypassed:?}}}}}"#
    )
}

impl World {
    pub(crate) async fn new(config: &str) -> Self {
        Self::with(config, Limits::default()).await
    }

    pub(crate) async fn with(config: &str, limits: Limits) -> Self {
        Self::made(config, |options| options.limits = limits).await
    }

    /// With one origin, the authority that is allowed: `canary.test` with its port.
    pub(crate) async fn around(
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> (Self, Canary, String) {
        Self::around_with(Limits::default(), script).await
    }

    pub(crate) async fn around_with(
        limits: Limits,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> (Self, Canary, String) {
        let canary = Canary::http(script).await;
        let authority = format!("canary.test:{}", canary.port());
        let world = Self::with(&deny(&[&authority]), limits).await;
        world.dns.points("canary.test", &["127.0.0.1"]);
        (world, canary, authority)
    }

    /// With options that `change` has changed.
    pub(crate) async fn made(config: &str, change: impl FnOnce(&mut Options)) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("proxy-config.json"), config).unwrap();
        let (dns, pki) = (Dns::start().await, Pki::new("test origins"));
        let mut options = Options::new(
            "s1",
            dir.path().join("proxy-config.json"),
            dir.path().join("ca"),
        );
        options.dns = Some(dns.address);
        options.trust = Some(pki.write(dir.path()));
        options.log = Some(dir.path().join("network.jsonl"));
        options.admin = Some(dir.path().join("admin.sock"));
        options.advice = Some("sandbox network proxy s1".into());
        change(&mut options);
        let proxy = Proxy::start(options).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(proxy.clone().serve(listener));
        Self {
            dir,
            dns,
            pki,
            proxy,
            address,
        }
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.dir.path().join("proxy-config.json")
    }

    pub(crate) fn admin(&self) -> PathBuf {
        self.dir.path().join("admin.sock")
    }

    /// Writes the policy and has it in force when this returns.
    pub(crate) fn set(&self, config: &str) {
        // Whole at once: the proxy watches the file, and would take half of it for what was written.
        let beside = self.dir.path().join("beside.json");
        std::fs::write(&beside, config).unwrap();
        std::fs::rename(&beside, self.config_path()).unwrap();
        proxy::admin::reload(&self.admin()).unwrap();
    }

    /// A connection to the proxy on which nothing was said yet.
    pub(crate) async fn dial(&self) -> Tunnel {
        let io = client::connect(self.address).await;
        Tunnel { io }
    }

    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> Option<Answer> {
        client::raw(self.address, bytes.as_ref()).await
    }

    /// `GET` in absolute form, on a connection of its own.
    pub(crate) async fn get(&self, authority: &str, path: &str) -> Answer {
        let request = format!(
            "GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
        );
        self.raw(request).await.unwrap()
    }

    /// The same, its status only; none if the connection ended without an answer.
    pub(crate) async fn try_get(&self, authority: &str, path: &str) -> Option<u16> {
        let request = format!(
            "GET http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
        );
        self.raw(request).await.map(|answer| answer.status)
    }

    pub(crate) async fn connect(&self, authority: &str) -> Result<Tunnel, Answer> {
        Tunnel::open(self.address, authority).await
    }

    /// A tunnel to `authority` with TLS for `canary.test` in it, which the proxy ends.
    pub(crate) async fn inside(&self, authority: &str) -> Tunnel<TlsStream<TcpStream>> {
        let tunnel = self.connect(authority).await.unwrap();
        tunnel.tls(&self.ca(), "canary.test").await.unwrap()
    }

    pub(crate) fn ca(&self) -> String {
        self.proxy.ca_pem().to_owned()
    }

    /// Lines about requests and tunnels so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        let log = std::fs::read(self.dir.path().join("network.jsonl")).unwrap();
        let events = audit::read(log.as_slice()).map(Result::unwrap);
        events
            .filter(|event| event.kind != audit::Kind::Config)
            .collect()
    }

    /// Waits for the line that `wanted` describes.
    pub(crate) async fn event(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        super::soon(what, async {
            loop {
                if let Some(event) = self.events().into_iter().find(&wanted) {
                    return event;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Waits for the line of what ended for this reason.
    pub(crate) async fn told(&self, reason: &str) -> Event {
        let what = format!("a line that says `{reason}`");
        self.event(&what, |event| event.reason.as_deref() == Some(reason))
            .await
    }
}
