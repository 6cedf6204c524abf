//! Clients made of bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pki::provider;
use super::soon;

/// An answer, read to the end of the connection or of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn reason(&self) -> &str {
        self.field("x-sandbox-reason").unwrap_or("")
    }

    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let end = text.find("\r\n\r\n")? + 4;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        let answer = Self {
            status,
            head: text[..end].to_owned(),
            body: text[end..].to_owned(),
        };
        Some((answer, end))
    }
}

/// Sends `bytes` on a new connection and reads until it ends. None if it ended without an answer.
pub(crate) async fn raw(proxy: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut stream = connect(proxy).await;
    // The proxy may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = soon("an answer", stream.read_to_end(&mut answer)).await;
    Answer::parse(&answer).map(|(answer, _)| answer)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is a client of the proxy, not the proxy"
)]
pub(crate) async fn connect(proxy: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(proxy).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection through a `CONNECT`.
pub(crate) struct Tunnel<I = TcpStream> {
    pub(crate) io: I,
}

impl Tunnel {
    /// Sends `CONNECT authority` and reads the answer's head.
    pub(crate) async fn open(proxy: SocketAddr, authority: &str) -> Result<Self, Answer> {
        Self::open_as(proxy, authority, "test").await
    }

    /// The same, with a `User-Agent`.
    pub(crate) async fn open_as(
        proxy: SocketAddr,
        authority: &str,
        agent: &str,
    ) -> Result<Self, Answer> {
        let mut io = connect(proxy).await;
        io.write_all(
            format!(
                "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {agent}\r\n\r\n"
            )
            .as_bytes(),
        )
        .await
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("a CONNECT answer", io.read_u8()).await.unwrap());
        }
        let (mut answer, _) = Answer::parse(&head).unwrap();
        if answer.status == 200 {
            return Ok(Self { io });
        }
        soon("a denial's body", io.read_to_string(&mut answer.body))
            .await
            .unwrap();
        Err(answer)
    }

    /// TLS inside, trusting the authority in `ca` only.
    pub(crate) async fn tls(
        self,
        ca: &str,
        name: &str,
    ) -> std::io::Result<Tunnel<TlsStream<TcpStream>>> {
        self.tls_with(client_config(ca, &[b"http/1.1"]), name).await
    }

    pub(crate) async fn tls_with(
        self,
        config: ClientConfig,
        name: &str,
    ) -> std::io::Result<Tunnel<TlsStream<TcpStream>>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let io = soon(
            "a handshake",
            TlsConnector::from(Arc::new(config)).connect(name, self.io),
        )
        .await?;
        Ok(Tunnel { io })
    }
}

/// The authority in `ca`, and no other.
pub(crate) fn roots(ca: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    roots
}

pub(crate) fn client_config(ca: &str, alpn: &[&[u8]]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(ca))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

impl<I: AsyncRead + AsyncWrite + Unpin> Tunnel<I> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// One answer with a `Content-Length`, or without a body.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        loop {
            if let Some((answer, head)) = Answer::parse(&bytes) {
                let length = answer
                    .field("content-length")
                    .map_or(0, |length| length.parse().unwrap());
                if bytes.len() >= head + length {
                    return Some(answer);
                }
            }
            let mut chunk = [0; 4096];
            match soon("an answer", self.io.read(&mut chunk)).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Option<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
            .await;
        self.answer().await
    }

    /// The next `count` bytes.
    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        soon("bytes", self.io.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// Reads until the other side ends the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = soon("the end", self.io.read_to_end(&mut rest)).await;
        rest
    }

    /// Ends its own side, and reads until the other one ends.
    pub(crate) async fn leave(&mut self) {
        // The other side may have been faster.
        let _ = self.io.shutdown().await;
        self.rest().await;
    }
}
