//! Connections to origins are one client's, like those that it makes itself.

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::support::client::client_config;
use crate::support::h2::{self, Client};
use crate::support::pki::Flaw;

/// Who asks: through which listener, and with what fields.
struct Asker {
    who: &'static str,
    proxy: SocketAddr,
    fields: String,
}

/// A way into the proxy.
#[derive(Debug, Clone, Copy)]
enum Way {
    Absolute,
    Http1,
    Http2,
}

impl Asker {
    /// Asks for `/x` on a connection of its own.
    async fn get(&self, way: Way, house: &House, authority: &str) {
        let status = match way {
            Way::Absolute => {
                let (host, port) = authority.rsplit_once(':').unwrap();
                let port = port.parse().unwrap();
                ask(self.proxy, host, port, &self.fields).await.status
            }
            Way::Http1 => {
                let mut tls = self.inside(house, authority, b"http/1.1").await;
                tls.get(authority, "/x").await.unwrap().status
            }
            Way::Http2 => {
                let tls = self.inside(house, authority, b"h2").await;
                Client::over(tls.io, authority).await.get("/x").await.0
            }
        };
        assert_eq!(status, 200, "{} {way:?}", self.who);
    }
}

impl Asker {
    async fn inside(
        &self,
        house: &House,
        authority: &str,
        alpn: &[u8],
    ) -> Tunnel<TlsStream<TcpStream>> {
        let (host, port) = authority.rsplit_once(':').unwrap();
        let (tunnel, head) = begin(self.proxy, host, port.parse().unwrap(), &self.fields).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{} {head}", self.who);
        let config = client_config(house.appliance.ca_pem(), &[alpn]);
        tunnel.tls_with(config, host).await.unwrap()
    }
}

/// What one client asked for is no reason to serve another faster: connections to an origin are used again by the same
/// client, and by nobody else, not even by one with the same policy.
#[tokio::test(flavor = "multi_thread")]
async fn no_connection_to_an_origin_is_shared() {
    let plain = Canary::http(|_| ok("hello")).await;
    let house = House::start(&plain).await;
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    let secure = house.pki.server("b.test", Flaw::None, both);
    let secure = h2::Origin::start(secure, |_| http::Response::new(h2::full("hello"))).await;
    let [plain_at, secure_at] =
        [plain.port(), secure.address.port()].map(|port| format!("b.test:{port}"));
    for policy in ["alice", "team", "ci"] {
        allow(house.dir.path(), policy, &[&plain_at, &secure_at]);
    }
    let carol = appliance::add(&house.path("clients"), &name("carol"), Some(&name("team")));
    house.appliance.look().await;
    assert!(house.appliance.troubles().is_empty());
    let through = |who, proxy, fields: &str| Asker {
        who,
        proxy,
        fields: fields.to_owned(),
    };
    let askers = [
        through("alice", house.clients, &house.alice),
        through("bob", house.clients, &house.bob),
        through("carol", house.clients, &basic("carol", &carol.unwrap())),
        through("ci", house.ci, ""),
    ];
    for way in [Way::Absolute, Way::Http1, Way::Http2] {
        let (authority, before) = match way {
            Way::Absolute => (&plain_at, plain.seen().connections),
            Way::Http1 | Way::Http2 => (&secure_at, secure.connections()),
        };
        let connections = || match way {
            Way::Absolute => plain.seen().connections - before,
            Way::Http1 | Way::Http2 => secure.connections() - before,
        };
        for (others, asker) in askers.iter().enumerate() {
            // The control: the second time there is one to be used again.
            for _ in 0..2 {
                asker.get(way, &house, authority).await;
                assert_eq!(connections(), others + 1, "{} {way:?}", asker.who);
            }
        }
        // They all waited meanwhile, each for its own.
        for asker in &askers {
            asker.get(way, &house, authority).await;
        }
        assert_eq!(connections(), askers.len(), "{way:?}");
    }
}
