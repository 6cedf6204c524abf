//! An HTTPS server on loopback with a certificate of its own authority: somewhere to go to.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// Where Debian keeps the certificates that the system trusts.
const DEBIAN_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Serves the files of a folder over HTTPS on `localhost`, HTTP/1.1.
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    trust: Trust,
    /// Serves until dropped.
    _runtime: Runtime,
}

impl Origin {
    pub(crate) fn serving(folder: &Path) -> Self {
        let (config, authority) = identity();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let served = Served {
            folder: folder.to_owned(),
            requests: Arc::clone(&requests),
        };
        runtime.spawn(serve(listener, TlsAcceptor::from(config), Arc::new(served)));
        Self {
            addr,
            requests,
            trust: Trust::new(&authority),
            _runtime: runtime,
        }
    }

    /// A value for `SSL_CERT_FILE` that trusts this server and whatever the system trusts.
    pub(crate) fn roots(&self) -> PathBuf {
        self.trust.roots()
    }

    /// How many requests have arrived.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// A file of roots: the system's and a test's own. What is reached through the proxy may be either.
pub(crate) struct Trust(TempDir);

impl Trust {
    pub(crate) fn new(authority: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let system = std::env::var_os("SSL_CERT_FILE")
            .map_or_else(|| PathBuf::from(DEBIAN_BUNDLE), PathBuf::from);
        let system = fs::read_to_string(system).unwrap_or_default();
        fs::write(dir.path().join("roots.pem"), system + authority).unwrap();
        Self(dir)
    }

    /// A value for `SSL_CERT_FILE`.
    pub(crate) fn roots(&self) -> PathBuf {
        self.0.path().join("roots.pem")
    }
}

struct Served {
    folder: PathBuf,
    requests: Arc<AtomicUsize>,
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, served: Arc<Served>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, served) = (tls.clone(), Arc::clone(&served));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let service = hyper::service::service_fn(move |request| {
                let answer = answer(&served, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(served: &Served, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    served.requests.fetch_add(1, Ordering::SeqCst);
    let path = request.uri().path().trim_start_matches('/');
    let (status, body) = match fs::read(served.folder.join(path)) {
        Ok(body) => (StatusCode::OK, body),
        Err(_) => (StatusCode::NOT_FOUND, b"no such file\n".to_vec()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

/// A server for `localhost`, and the PEM of the authority that vouches for it.
pub(crate) fn identity() -> (Arc<rustls::ServerConfig>, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (Arc::new(config), ca_pem)
}
