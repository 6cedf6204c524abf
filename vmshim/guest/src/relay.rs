//! From TCP connections inside the guest to streams on the data port.
//!
//! Not one byte is looked at: which proxy and which policy answer is decided by the port's other end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use wire::mux::{MAX_OPEN, Opener, Stream};

/// Where programs find the proxy: the port of Docker's, on the name `host.docker.internal`.
pub const PROXY_PORT: u16 = 3128;

/// Bytes on their way in each direction of one connection. COST: 64 KiB per open connection.
const BUFFER: usize = 32 * 1024;

/// How long a connection waits for a proxy. One that ended is replaced within a second, on a busy machine in a few.
const PATIENCE: Duration = Duration::from_secs(5);

/// The channel to the proxy: `None` while there is none.
pub type Channel = watch::Receiver<Option<Opener>>;

/// Accepts connections to the proxy for ever.
pub async fn run(listener: TcpListener, channel: Channel) -> io::Error {
    accept(listener, channel, |mut tcp, stream| async move {
        let carried = exchange(&mut tcp, stream).await;
        end(&tcp, carried);
    })
    .await
}

/// Accepts connections for ever and has `carry` take each over a stream of the channel. At most [`MAX_OPEN`] at a
/// time; more wait in the kernel's queue.
pub(crate) async fn accept<C, F>(listener: TcpListener, channel: Channel, carry: C) -> io::Error
where
    C: Fn(TcpStream, Stream) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let free = Arc::new(Semaphore::new(MAX_OPEN));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return io::ErrorKind::BrokenPipe.into(); // never: nobody closes it
        };
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => return error,
        };
        let (channel, carry) = (channel.clone(), carry.clone());
        tokio::spawn(async move {
            match open(channel).await {
                Ok(stream) => carry(tcp, stream).await,
                Err(error) => end(&tcp, Err(error)),
            }
            drop(permit);
        });
    }
}

/// A stream to the proxy, or to the one that replaces it: few programs try again by themselves.
async fn open(mut channel: Channel) -> io::Result<Stream> {
    let gone = |_| io::Error::from(io::ErrorKind::NotConnected);
    let opening = async {
        loop {
            let opener = channel.borrow_and_update().clone();
            if let Some(opener) = opener
                && let Ok(stream) = opener.open().await
            {
                return Ok(stream);
            }
            channel.changed().await.map_err(gone)?;
        }
    };
    timeout(PATIENCE, opening).await?
}

/// accept(2) also reports what happened to a connection that was waiting.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// An abort stays an abort: a clean end would make a cut-off answer look complete.
pub(crate) fn end(tcp: &TcpStream, carried: io::Result<()>) {
    if carried.is_err() {
        let _ = tcp.set_zero_linger();
    }
}

/// Copies both ways, passing on each half's end by itself.
pub(crate) async fn exchange<S>(tcp: &mut TcpStream, mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tcp.set_nodelay(true)?;
    copy_bidirectional_with_sizes(tcp, &mut stream, BUFFER, BUFFER).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
