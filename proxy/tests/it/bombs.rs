//! Work and leftovers that others would have the proxy pile up.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::support::origin::ok;
use crate::support::pki::{self, Flaw};
use crate::support::world::{config, deny};
use crate::support::{Canary, World};

/// Authorities of one name, each signed by every other one's name: who looks for a way to a root among them has as many to
/// try as they can be ordered, which is half a billion for twelve.
fn bomb(authorities: usize) -> Arc<ServerConfig> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "bomb");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuers: Vec<_> = (0..authorities)
        .map(|_| {
            let key = KeyPair::generate().unwrap();
            CertifiedIssuer::self_signed(params.clone(), key).unwrap()
        })
        .collect();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["canary.test".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuers[0]).unwrap();
    let mut chain = vec![leaf.der().clone()];
    for (number, issuer) in issuers.iter().enumerate() {
        let next = &issuers[(number + 1) % issuers.len()];
        let crossed = params.signed_by(issuer.key(), next).unwrap();
        chain.push(crossed.der().clone());
    }
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(pki::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// T2: an origin whose chain has no end is a 502, and a good one after it is served. Without a bound on the search there would
/// be no answer at all.
#[tokio::test(flavor = "multi_thread")]
async fn endless_chains_are_given_up() {
    let world = World::new(&deny(&[])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    let good = world.pki.server("canary.test", Flaw::None, &[]);
    for (tls, status) in [(bomb(12), 502), (good, 200)] {
        let canary = Canary::https(tls, |_| ok("hello")).await;
        let authority = format!("canary.test:{}", canary.port());
        world.set(&deny(&[&authority]));
        let mut tunnel = world.inside(&authority).await;
        let answer = tunnel.get(&authority, "/").await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// R9: thousands of connections of every kind, and what is left is what was left after the first hundred.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_thousands() {
    const ROUNDS: usize = 300;
    let world = World::new(&deny(&[])).await;
    let tls = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    let (secure, plain) = (
        Canary::https(tls, |_| ok("hello")).await,
        Canary::http(|_| ok("hello")).await,
    );
    let (secure, plain) = (
        format!("canary.test:{}", secure.port()),
        format!("plain.test:{}", plain.port()),
    );
    world.set(&config("deny", &[&secure, &plain], &[], &["plain.test"]));
    for host in ["canary.test", "plain.test"] {
        world.dns.points(host, &["127.0.0.1"]);
    }
    let mut before = 0;
    for round in 0..ROUNDS {
        assert_eq!(world.get(&plain, "/").await.status, 200);
        assert_eq!(world.get("denied.test", "/").await.status, 403);
        let mut inside = world.inside(&secure).await;
        assert_eq!(inside.get(&secure, "/").await.unwrap().status, 200);
        let mut tunnel = world.connect(&plain).await.unwrap();
        assert_eq!(tunnel.get("plain.test", "/").await.unwrap().status, 200);
        // Cut in the middle of a handshake, and of a head.
        let mut cut = world.connect(&secure).await.unwrap();
        cut.send(b"\x16\x03\x01\x02\x00").await;
        drop((inside, tunnel, cut));
        if round == ROUNDS / 10 {
            before = settled(&world).await;
        }
    }
    let after = settled(&world).await;
    // nextest gives each test a process of its own; in one of many tests, others' descriptors come and go.
    if std::env::var_os("NEXTEST").is_some() {
        // Connections to origins may be kept: as many as were in use at once.
        assert!(after <= before + 8, "{before} descriptors, then {after}");
    }
}

/// Descriptors once no connection and no request is open.
async fn settled(world: &World) -> usize {
    crate::support::soon("the end of all", async {
        loop {
            let counters = world.proxy.counters();
            if counters.open_connections == 0 && counters.open_requests == 0 {
                return descriptors();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}
