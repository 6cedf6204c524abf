//! Origins that record every byte they receive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// What an origin does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Sends these bytes and waits for the next request.
    Send(Vec<u8>),
    /// Sends these bytes and ends the connection.
    SendAndClose(Vec<u8>),
    /// Sends these bytes and resets the connection.
    SendAndReset(Vec<u8>),
    /// Sends these bytes and drops the connection as it is: over TLS without a `close_notify`.
    SendAndDrop(Vec<u8>),
    /// Sends nothing until the client leaves.
    Hang,
    /// Sends the first of these, and then the others one by one, each after such a pause.
    Drip(Vec<u8>, Vec<u8>, Duration),
    /// Sends these bytes, then everything back that comes.
    Echo(Vec<u8>),
}

/// 200 with this body.
pub(crate) fn ok(body: &str) -> Reply {
    Reply::Send(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

#[derive(Default, Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    /// Connections that have ended.
    pub(crate) ended: usize,
    /// Whole requests, as received.
    pub(crate) requests: Vec<String>,
    /// Every byte, requests or not.
    pub(crate) bytes: Vec<u8>,
}

/// An origin on loopback.
pub(crate) struct Canary {
    pub(crate) address: SocketAddr,
    seen: Arc<watch::Sender<Seen>>,
}

type Script = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

impl Canary {
    pub(crate) async fn http(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::http_on(bound().await, script)
    }

    /// On a socket that the test made.
    pub(crate) fn http_on(
        listener: TcpListener,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(listener, None, Arc::new(script))
    }

    pub(crate) async fn https(
        config: Arc<ServerConfig>,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::https_on(bound().await, config, script)
    }

    /// On a socket whose port somebody had to know before.
    pub(crate) fn https_on(
        listener: TcpListener,
        config: Arc<ServerConfig>,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(listener, Some(TlsAcceptor::from(config)), Arc::new(script))
    }

    fn start(listener: TcpListener, tls: Option<TlsAcceptor>, script: Script) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(watch::Sender::new(Seen::default()));
        let notes = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                notes.send_modify(|seen| seen.connections += 1);
                let (tls, script, notes) = (tls.clone(), script.clone(), notes.clone());
                tokio::spawn(async move {
                    match tls {
                        None => {
                            if let Some(stream) = serve(stream, &script, &notes).await {
                                // An RST instead of a FIN.
                                stream.set_zero_linger().unwrap();
                            }
                        }
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await
                                && let Some(stream) = serve(stream, &script, &notes).await
                            {
                                stream.get_ref().0.set_zero_linger().unwrap();
                            }
                        }
                    }
                    notes.send_modify(|seen| seen.ended += 1);
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen().requests
    }

    /// Waits until what was seen is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        super::soon(what, seen.wait_for(wanted)).await.unwrap();
    }
}

async fn bound() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Returns the stream if it is to be reset.
async fn serve<I: AsyncRead + AsyncWrite + Unpin>(
    mut io: I,
    script: &Script,
    notes: &watch::Sender<Seen>,
) -> Option<I> {
    let mut buffer = Vec::new();
    loop {
        let request = request(&mut io, &mut buffer, notes).await?;
        let reply = script(&request);
        notes.send_modify(|seen| seen.requests.push(request));
        match reply {
            Reply::Send(bytes) => io.write_all(&bytes).await.ok()?,
            Reply::SendAndClose(bytes) => {
                io.write_all(&bytes).await.ok()?;
                io.shutdown().await.ok()?;
                return None;
            }
            Reply::SendAndReset(bytes) => {
                io.write_all(&bytes).await.ok()?;
                io.flush().await.ok()?;
                return Some(io);
            }
            Reply::SendAndDrop(bytes) => {
                io.write_all(&bytes).await.ok()?;
                io.flush().await.ok()?;
                return None;
            }
            Reply::Hang => {
                let mut rest = [0; 1024];
                while matches!(io.read(&mut rest).await, Ok(1..)) {}
                return None;
            }
            Reply::Drip(first, others, pause) => {
                io.write_all(&first).await.ok()?;
                for byte in others {
                    io.flush().await.ok()?;
                    tokio::time::sleep(pause).await;
                    io.write_all(&[byte]).await.ok()?;
                }
            }
            Reply::Echo(bytes) => {
                io.write_all(&bytes).await.ok()?;
                let mut chunk = [0; 4096];
                while let Ok(read @ 1..) = io.read(&mut chunk).await {
                    notes.send_modify(|seen| seen.bytes.extend_from_slice(&chunk[..read]));
                    io.write_all(&chunk[..read]).await.ok()?;
                }
                let _ = io.shutdown().await;
                return None;
            }
        }
    }
}

/// One request, head and body, by the plainest reading there is.
async fn request<I: AsyncRead + Unpin>(
    io: &mut I,
    buffer: &mut Vec<u8>,
    notes: &watch::Sender<Seen>,
) -> Option<String> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(length) = whole(buffer) {
            let request: Vec<u8> = buffer.drain(..length).collect();
            return Some(String::from_utf8_lossy(&request).into_owned());
        }
        let read = io.read(&mut chunk).await.ok()?;
        if read == 0 {
            return None;
        }
        notes.send_modify(|seen| seen.bytes.extend_from_slice(&chunk[..read]));
        buffer.extend_from_slice(&chunk[..read]);
    }
}

fn whole(buffer: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(buffer);
    let head = text.find("\r\n\r\n")? + 4;
    let lower = text[..head].to_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        return text[head..].find("0\r\n\r\n").map(|end| head + end + 5);
    }
    let length = lower
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let whole = head + length.unwrap_or(0);
    (buffer.len() >= whole).then_some(whole)
}
