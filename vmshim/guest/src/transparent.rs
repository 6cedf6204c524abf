//! Connections of programs that know of no proxy.
//!
//! A connection to an address that stands for a name becomes a `CONNECT` with that name and the port
//! dialled, on the data port, like that of a program which does know. Where it goes is taken from the
//! address alone, never from the bytes that follow. The proxy judges; here nothing is enforced.

mod bpf;
mod refusal;
mod steer;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use wire::mux::Stream;

use crate::relay::{self, Channel};
use crate::resolver::Shared;

pub use steer::{SteerError, steer};

/// What is reached by name where nothing can be steered: HTTP and HTTPS.
pub const WEB_PORTS: [u16; 2] = [80, 443];

/// The longest head of an answer to a `CONNECT` that is read.
const MAX_HEAD: usize = 16 * 1024;

/// How long the proxy may take to answer: it has to reach the origin first.
const ANSWER: Duration = Duration::from_secs(60);

/// Accepts connections for ever. `listener` is where [`steer()`] sends them.
pub async fn run(listener: TcpListener, names: Shared, channel: Channel) -> io::Error {
    relay::accept(listener, channel, move |mut tcp, stream| {
        let names = Arc::clone(&names);
        async move {
            let carried = carry(&mut tcp, &names, stream).await;
            relay::end(&tcp, carried);
        }
    })
    .await
}

async fn carry(tcp: &mut TcpStream, names: &Shared, stream: Stream) -> io::Result<()> {
    let target = target(tcp.local_addr()?, names)?;
    carry_to(tcp, &target, stream).await
}

async fn carry_to(tcp: &mut TcpStream, target: &str, mut stream: Stream) -> io::Result<()> {
    stream.write_all(request(target).as_bytes()).await?;
    let answer = timeout(ANSWER, answer(&mut stream)).await??;
    if answer.is_consent() {
        tcp.write_all(answer.beyond()).await?;
        return relay::exchange(tcp, stream).await;
    }
    refusal::tell(tcp, answer.bytes, stream).await
}

/// `name:port` of the address that was dialled, which is the socket's own.
fn target(dialled: SocketAddr, names: &Shared) -> io::Result<String> {
    let IpAddr::V4(address) = dialled.ip() else {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    };
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    let name = names.name(address).ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(format!("{name}:{}", dialled.port()))
}

fn request(target: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
}

/// The head of the proxy's answer, and what came with it.
struct Answer {
    bytes: Vec<u8>,
    head: usize,
    status: u16,
}

impl Answer {
    fn is_consent(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn beyond(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }
}

async fn answer<S>(stream: &mut S) -> io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut bytes = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&bytes).map_err(io::Error::other)?;
        let status = response.code.unwrap_or_default();
        match parsed {
            httparse::Status::Complete(head) => {
                return Ok(Answer {
                    bytes,
                    head,
                    status,
                });
            }
            httparse::Status::Partial if bytes.len() < MAX_HEAD => {}
            httparse::Status::Partial => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests;
