//! Where a sandbox's connections come from.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A source of connections of one sandbox. Which source the bytes came from is the sandbox's identity: nothing in them can change it.
pub trait Accept: Send {
    /// One connection. Dropping it closes it; shutting down its writing half must leave the reading half open.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection. An error that [`is_transient`] says is passing is retried after a pause; any other ends the serving.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Io>> + Send;

    /// The TCP socket behind it, which the proxy then never dials.
    fn local_addr(&self) -> Option<SocketAddr> {
        None
    }
}

impl Accept for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        TcpListener::local_addr(self).ok()
    }
}

/// Whether accepting may work again soon: the peer gave up, or descriptors or memory are short.
#[must_use]
pub fn is_transient(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let short = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::AGAIN,
        Errno::PROTO,
        Errno::PERM,
    ];
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    ) || Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F19: what runs out comes back; a listener that is none does not.
    #[test]
    fn what_passes_is_waited_for() {
        use rustix::io::Errno;
        let passes = [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::AGAIN,
            Errno::INTR,
            Errno::CONNABORTED,
            Errno::CONNRESET,
            Errno::PROTO,
            Errno::PERM,
        ];
        let stays = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP];
        let rows = passes.map(|errno| (errno, true)).into_iter();
        for (errno, expected) in rows.chain(stays.map(|errno| (errno, false))) {
            assert_eq!(is_transient(&errno.into()), expected, "{errno:?}");
        }
    }
}
