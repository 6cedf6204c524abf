//! Telling a program that knows of no proxy that the proxy refused.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long to wait for the program's first byte, which shows what language it speaks.
const FIRST_BYTE: Duration = Duration::from_secs(1);

/// How long a refusal may take altogether.
const ALL: Duration = Duration::from_secs(5);

/// The most that is passed on of the proxy's answer.
const MAX_ANSWER: u64 = 64 * 1024;

/// A TLS record: fatal alert `access_denied` (RFC 8446, 6.2).
const ACCESS_DENIED: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 49];

/// The first byte of a TLS handshake record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;

/// Passes the proxy's answer on in the program's own terms, so that it has something to report: the
/// answer itself to HTTP, an alert to TLS. Anything else, and any error, becomes a reset.
pub(super) async fn tell<S>(tcp: &mut TcpStream, answer: Vec<u8>, rest: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut first = [0];
    let seen = timeout(FIRST_BYTE, tcp.peek(&mut first)).await;
    let told = match (seen, first) {
        (Ok(Ok(1)), [HANDSHAKE]) => timeout(ALL, alert(tcp)).await,
        (Ok(Ok(1)), [byte]) if byte.is_ascii_uppercase() => {
            timeout(ALL, page(tcp, answer, rest)).await
        }
        _ => return Err(io::ErrorKind::ConnectionRefused.into()),
    };
    told?
}

async fn alert(tcp: &mut TcpStream) -> io::Result<()> {
    tcp.write_all(&ACCESS_DENIED).await?;
    leave(tcp).await
}

async fn page<S>(tcp: &mut TcpStream, answer: Vec<u8>, rest: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tcp.write_all(&answer).await?;
    // Nothing more is asked of the proxy on this stream, so it need not be kept open for us.
    let (mut rest, mut asking) = tokio::io::split(rest);
    let _ = asking.shutdown().await;
    tokio::io::copy(&mut (&mut rest).take(MAX_ANSWER), tcp).await?;
    leave(tcp).await
}

/// Ends the connection in an orderly way: bytes that nobody reads would turn the end into a reset, and
/// a reset overtakes what was said.
async fn leave(tcp: &mut TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    let mut ignored = [0; 4096];
    while tcp.read(&mut ignored).await? > 0 {}
    Ok(())
}
