//! The resolver's sockets.

use std::io;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer;
use crate::names::Names;

/// The table, shared by the resolver and the relay.
pub type Shared = Arc<Mutex<Names>>;

/// A query by UDP is one question; EDNS options may follow (RFC 6891, 6.2.5).
const MAX_DATAGRAM: usize = 4096;

/// Clients that ask by TCP at a time.
const MAX_CLIENTS: usize = 64;

/// How long such a client may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers on `address`, by UDP and TCP, for ever.
pub async fn run(address: SocketAddrV4, names: Shared) -> io::Error {
    let bound = async {
        Ok((
            UdpSocket::bind(address).await?,
            TcpListener::bind(address).await?,
        ))
    };
    let (udp, tcp) = match bound.await {
        Ok(bound) => bound,
        Err(error) => return error,
    };
    tokio::select! {
        error = datagrams(udp, &names) => error,
        error = streams(tcp, &names) => error,
    }
}

fn reply(query: &[u8], names: &Shared) -> Option<Vec<u8>> {
    answer(
        query,
        &mut names.lock().unwrap_or_else(PoisonError::into_inner),
    )
}

async fn datagrams(socket: UdpSocket, names: &Shared) -> io::Error {
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        // An error is about an answer that somebody did not wait for.
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if let Some(reply) = buffer.get(..len).and_then(|query| reply(query, names)) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

async fn streams(listener: TcpListener, names: &Shared) -> io::Error {
    let free = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return io::ErrorKind::BrokenPipe.into(); // never: nobody closes it
        };
        let Ok((client, _)) = listener.accept().await else {
            continue; // it is gone again
        };
        let names = Arc::clone(names);
        tokio::spawn(async move {
            let _ = converse(client, &names).await; // its end is its own affair
            drop(permit);
        });
    }
}

/// Messages behind their length of two bytes (RFC 1035, 4.2.2).
async fn converse(mut client: TcpStream, names: &Shared) -> io::Result<()> {
    loop {
        let len = timeout(PATIENCE, client.read_u16()).await??;
        let mut query = vec![0; len.into()];
        timeout(PATIENCE, client.read_exact(&mut query)).await??;
        let Some(reply) = reply(&query, names) else {
            return Ok(());
        };
        let len = u16::try_from(reply.len()).map_err(io::Error::other)?;
        client
            .write_all(&[&len.to_be_bytes(), reply.as_slice()].concat())
            .await?;
    }
}
