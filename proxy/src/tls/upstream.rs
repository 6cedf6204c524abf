//! TLS towards origins and parent proxies, always verified.

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

use super::provider::provider;
use crate::cause::TlsError;
use crate::upstream::sender::Protocol;

/// Sessions kept for resumption.
const SESSIONS: usize = 256;

/// The same for parents, of which there are two at most.
const PARENT_SESSIONS: usize = 4;

/// Makes verified connections.
pub(crate) struct Connector {
    http1: TlsConnector,
    http2: TlsConnector,
    /// Towards parents, so that no session that an origin of the same name began is shown to one.
    parents: TlsConnector,
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
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut offering = |protocols: &[Protocol], sessions| {
            // A session is resumed only towards what was offered when it began.
            config.resumption = Resumption::in_memory_sessions(sessions);
            config.alpn_protocols = protocols
                .iter()
                .map(|protocol| protocol.alpn().to_vec())
                .collect();
            TlsConnector::from(Arc::new(config.clone()))
        };
        let http1 = offering(&[Protocol::Http1], SESSIONS);
        let http2 = offering(&[Protocol::Http2, Protocol::Http1], SESSIONS);
        let parents = offering(&[Protocol::Http1], PARENT_SESSIONS);
        Ok(Self {
            http1,
            http2,
            parents,
        })
    }

    /// TLS over `io`, for the host of `target`, offering `best` and what is below it.
    pub(crate) async fn connect<I>(
        &self,
        target: &Target,
        best: Protocol,
        io: I,
        deadline: Duration,
    ) -> Result<TlsStream<I>, TlsError>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(target).ok_or(TlsError::WrongHost)?;
        let connector = match best {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        within(deadline, connector.connect(name, io)).await
    }

    /// TLS over `io`, with the parent called `name`.
    pub(crate) async fn connect_parent<I>(
        &self,
        name: &ServerName<'static>,
        io: I,
        deadline: Duration,
    ) -> Result<TlsStream<I>, TlsError>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        within(deadline, self.parents.connect(name.clone(), io)).await
    }
}

async fn within<I>(
    deadline: Duration,
    handshake: tokio_rustls::Connect<I>,
) -> Result<TlsStream<I>, TlsError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    match tokio::time::timeout(deadline, handshake).await {
        Err(_) => Err(TlsError::Timeout),
        Ok(Err(error)) => Err(cause(&error)),
        Ok(Ok(stream)) => Ok(stream),
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

fn cause(error: &std::io::Error) -> TlsError {
    use CertificateError as Bad;
    let tls = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(bad)) => match bad {
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. } => TlsError::Expired,
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => TlsError::WrongHost,
            Bad::UnknownIssuer => TlsError::UnknownAuthority,
            bad => TlsError::Certificate(bad.to_string()),
        },
        Some(error) => TlsError::Handshake(error.to_string()),
        None => TlsError::Handshake(error.to_string()),
    }
}
