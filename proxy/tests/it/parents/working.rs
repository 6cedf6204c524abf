//! A parent that does what it is asked for.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::client;

/// A parent, with TLS or without, that keeps the heads that it saw. Every name leads to 127.0.0.1 for it.
pub(super) struct Working {
    pub(super) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Working {
    pub(super) async fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<_>>>::default();
        let (notes, tls) = (heads.clone(), tls.map(TlsAcceptor::from));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, notes) = (tls.clone(), notes.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else {
                        return served(stream, &notes).await;
                    };
                    let stream = tls.accept(stream).await.ok()?;
                    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                    served(stream, &notes).await
                });
            }
        });
        Self { address, heads }
    }

    /// The heads of requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Their first lines.
    pub(super) fn asked(&self) -> Vec<String> {
        let heads = self.heads();
        let lines = heads.iter().map(|head| head.lines().next().unwrap());
        lines.map(str::to_owned).collect()
    }
}

/// Tunnels as asked, and answers what comes in absolute form itself.
async fn served<I: AsyncRead + AsyncWrite + Unpin>(
    mut io: I,
    notes: &Mutex<Vec<String>>,
) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        notes.lock().unwrap().push(head.clone());
        let Some(rest) = head.strip_prefix("CONNECT ") else {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain";
            io.write_all(answer).await.ok()?;
            continue;
        };
        let authority = rest.split(' ').next()?;
        let port = authority.rsplit_once(':')?.1.parse().unwrap();
        let mut origin = client::connect(SocketAddr::from(([127, 0, 0, 1], port))).await;
        io.write_all(b"HTTP/1.1 200 Yes\r\n\r\n").await.ok()?;
        let _ = tokio::io::copy_bidirectional(&mut io, &mut origin).await;
        return None;
    }
}
