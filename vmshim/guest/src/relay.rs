//! From TCP connections inside the guest to streams on the data port.
//!
//! Not one byte is looked at: which proxy and which policy answer is decided by the port's other end.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use wire::mux::{MAX_OPEN, Opener};

/// Where programs find the proxy: the port of Docker's, on the name `host.docker.internal`.
pub const PROXY_PORT: u16 = 3128;

/// Bytes on their way in each direction of one connection. COST: 64 KiB per open connection.
const BUFFER: usize = 32 * 1024;

/// The channel to the proxy: `None` while there is none.
pub type Channel = watch::Receiver<Option<Opener>>;

/// Accepts connections to the proxy for ever.
pub async fn run(listener: TcpListener, channel: Channel) -> io::Error {
    accept(listener, channel, |mut tcp, opener| async move {
        let carried = carry(&mut tcp, &opener).await;
        end(&tcp, carried);
    })
    .await
}

async fn carry(tcp: &mut TcpStream, opener: &Opener) -> io::Result<()> {
    let stream = opener.open().await?;
    exchange(tcp, stream).await
}

/// Accepts connections for ever and has `carry` take each over the channel. At most [`MAX_OPEN`] at a
/// time; more wait in the kernel's queue.
pub(crate) async fn accept<C, F>(listener: TcpListener, channel: Channel, carry: C) -> io::Error
where
    C: Fn(TcpStream, Opener) -> F,
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
        // Without a channel it is refused at once, so that programs fail quickly and their own retries
        // find the next proxy.
        let Some(opener) = channel.borrow().clone() else {
            end(&tcp, Err(io::ErrorKind::NotConnected.into()));
            continue;
        };
        let carried = carry(tcp, opener);
        tokio::spawn(async move {
            carried.await;
            drop(permit);
        });
    }
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
