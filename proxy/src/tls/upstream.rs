//! TLS towards origins, always verified.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use policy_lang::{Host, Target};
use rustls::client::Resumption;
use rustls::pki_types::{DnsName, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cause::OriginTlsError;
use crate::upstream::sender::Protocol;

/// Sessions kept for resumption.
const SESSIONS: usize = 256;

/// Makes verified connections.
pub(crate) struct Connector {
    http1: TlsConnector,
    http2: TlsConnector,
}

/// Loads the trusted authorities. What cannot be read is left out and told; without any, no origin verifies.
pub(crate) fn trusted(file: Option<&Path>) -> (Arc<RootCertStore>, Vec<String>) {
    let loaded = match file {
        Some(file) => rustls_native_certs::load_certs_from_paths(Some(file), None),
        None => rustls_native_certs::load_native_certs(),
    };
    let mut warnings: Vec<_> = loaded.errors.iter().map(ToString::to_string).collect();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        warnings.push(
            "no trusted certificate authority was found: no https origin can be verified".into(),
        );
    }
    (Arc::new(roots), warnings)
}

impl Connector {
    /// With sessions of its own: none is resumed that another one began.
    pub(crate) fn new(roots: Arc<RootCertStore>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut offering = |protocols: &[Protocol]| {
            // A session is resumed only towards what was offered when it began.
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
            config.alpn_protocols = protocols
                .iter()
                .map(|protocol| protocol.alpn().to_vec())
                .collect();
            TlsConnector::from(Arc::new(config.clone()))
        };
        let http1 = offering(&[Protocol::Http1]);
        let http2 = offering(&[Protocol::Http2, Protocol::Http1]);
        Ok(Self { http1, http2 })
    }

    /// TLS over `io`, for the host of `target`, offering `best` and what is below it.
    pub(crate) async fn connect<I>(
        &self,
        target: &Target,
        best: Protocol,
        io: I,
        deadline: Duration,
    ) -> Result<TlsStream<I>, OriginTlsError>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(target).ok_or(OriginTlsError::WrongHost)?;
        let connector = match best {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        match tokio::time::timeout(deadline, connector.connect(name, io)).await {
            Err(_) => Err(OriginTlsError::Timeout),
            Ok(Err(error)) => Err(cause(&error)),
            Ok(Ok(stream)) => Ok(stream),
        }
    }
}

fn server_name(target: &Target) -> Option<ServerName<'static>> {
    match target.host() {
        Host::Name(name) => DnsName::try_from(name.as_str().to_owned())
            .ok()
            .map(ServerName::DnsName),
        Host::Addr(address) => Some(ServerName::IpAddress((*address).into())),
    }
}

fn cause(error: &std::io::Error) -> OriginTlsError {
    use CertificateError as Bad;
    let tls = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(bad)) => match bad {
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. } => OriginTlsError::Expired,
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => OriginTlsError::WrongHost,
            Bad::UnknownIssuer => OriginTlsError::UnknownAuthority,
            bad => OriginTlsError::Certificate(bad.to_string()),
        },
        Some(error) => OriginTlsError::Handshake(error.to_string()),
        None => OriginTlsError::Handshake(error.to_string()),
    }
}
