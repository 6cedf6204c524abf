//! hudsucker as a peer: the smallest proxy it makes, one worker, origins verified against a file of authorities.
//!
//! Usage: `peer-hudsucker LISTEN CA-CERTIFICATE CA-KEY TRUST`, all PEM.

use std::error::Error;
use std::fs::read_to_string;

use hudsucker::Proxy;
use hudsucker::certificate_authority::RcgenAuthority;
use hudsucker::rcgen::{Issuer, KeyPair};
use hudsucker::rustls::crypto::aws_lc_rs::default_provider;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};

/// Leaves kept.
const LEAVES: u64 = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let [listen, certificate, key, trust] =
        <[String; 4]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
            .map_err(|_| "usage: peer-hudsucker LISTEN CA-CERTIFICATE CA-KEY TRUST")?;
    let key = KeyPair::from_pem(&read_to_string(key)?)?;
    let issuer = Issuer::from_ca_cert_pem(&read_to_string(certificate)?, key)?;
    let authority = RcgenAuthority::new(issuer, LEAVES, default_provider());

    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_certs_from_paths(Some(trust.as_ref()), None);
    roots.add_parsable_certificates(loaded.certs);
    let tls = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let proxy = Proxy::builder()
            .with_addr(listen.parse()?)
            .with_ca(authority)
            .with_http_connector(connector)
            .build()?;
        Ok(proxy.start().await?)
    })
}
