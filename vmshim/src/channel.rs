//! The host's end of a virtio-serial port: a Unix socket of the VMM.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::BufStream;
use tokio::net::UnixStream;
use tokio::time::sleep;
use wire::mux::{self, Acceptor, Driver, Opener, Side};
use wire::resync::{self, Nonce};

/// How long to wait before connecting again: the VMM makes its sockets soon after it started.
const RETRY: Duration = Duration::from_millis(5);

/// A port with a conversation begun on it.
pub type Port = BufStream<UnixStream>;

/// Connects to the port at this socket, as soon as there is one, and begins a conversation as soon as
/// the guest listens. Does not give up by itself; wrap it in a timeout.
pub async fn connect(socket: &Path) -> io::Result<(Opener, Acceptor, Driver<Port>)> {
    let mut port = BufStream::new(reach(socket).await?);
    let mut nonce = Nonce::default();
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    resync::io::host(&mut port, nonce).await?;
    Ok(mux::new(port, Side::Host))
}

async fn reach(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) if is_too_early(&error) => sleep(RETRY).await,
            Err(error) => return Err(error),
        }
    }
}

/// Not there yet, or bound and not yet listening.
fn is_too_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}
