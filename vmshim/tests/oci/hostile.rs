//! A registry that does not stop.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a client that reads everything is let go.
pub(crate) const PLENTY: u64 = 256 << 20;

/// What there is no end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endless {
    Manifest,
    /// What is said of a manifest that is not there.
    Refusal,
    Token,
    /// What is said of a token that is not given.
    TokenRefusal,
    /// What is said of a config that is not there.
    BlobRefusal,
}

/// A registry on loopback that answers one kind of question without end.
pub(crate) struct Hostile {
    pub(crate) address: SocketAddr,
    /// Bytes that clients took, or that wait for them in buffers.
    pub(crate) sent: Arc<AtomicU64>,
}

impl Hostile {
    pub(crate) fn start(endless: Endless) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&sent);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let sent = Arc::clone(&counted);
                std::thread::spawn(move || {
                    // A client that hangs up has had enough.
                    let _ = serve(client, address, endless, &sent);
                });
            }
        });
        Self { address, sent }
    }
}

/// Answers one request and closes.
fn serve(
    mut client: TcpStream,
    address: SocketAddr,
    endless: Endless,
    sent: &AtomicU64,
) -> std::io::Result<()> {
    let mut head = BufReader::new(client.try_clone()?).lines();
    let first = head.next().transpose()?.unwrap_or_default();
    head.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
        .for_each(drop);
    let target = first.split(' ').nth(1).unwrap_or_default();
    let wants_token = matches!(endless, Endless::Token | Endless::TokenRefusal);
    let (status, extra, text) = if target.starts_with("/token") {
        match endless {
            Endless::Token => ("200 OK", String::new(), None),
            _ => ("401 Unauthorized", String::new(), None),
        }
    } else if wants_token {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{address}/token\"\r\n");
        ("401 Unauthorized", challenge, Some(String::new()))
    } else if target.contains("/blobs/") {
        ("404 Not Found", String::new(), None)
    } else {
        match endless {
            Endless::Manifest => ("200 OK", String::new(), None),
            Endless::BlobRefusal => ("200 OK", String::new(), Some(manifest())),
            _ => ("404 Not Found", String::new(), None),
        }
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\nConnection: close\r\n{extra}\r\n"
    )?;
    match text {
        Some(text) => client.write_all(text.as_bytes()),
        None => without_end(&mut client, sent),
    }
}

/// JSON that any reader must go on with: a string that does not end.
fn without_end(client: &mut TcpStream, sent: &AtomicU64) -> std::io::Result<()> {
    client.write_all(b"{\"token\":\"")?;
    let chunk = [b'x'; 64 << 10];
    while sent.load(Ordering::SeqCst) < PLENTY {
        client.write_all(&chunk)?;
        sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
    }
    Ok(())
}

/// The smallest manifest, whose config is nowhere.
fn manifest() -> String {
    let digest = format!("sha256:{}", "0".repeat(64));
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":2}},
        "layers":[{{"mediaType":"{layer}","digest":"{digest}","size":2}}]}}"#
    )
}
