//! Ports of the guest that the host listens for.
//!
//! Each connection becomes a stream on the control port, which the guest joins to its own loopback
//! interface. That is the only way into the guest over TCP, and it is opened by the caller's own list.

use std::io;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Error;
use crate::guest::Session;
use crate::spec::Publish;

/// Connections at a time, half of what the control port carries: programs must still be startable.
const MAX_OPEN: usize = wire::mux::MAX_OPEN / 2;

/// Listening sockets, from before the guest starts: a port that is taken fails the start, and a client
/// that is early waits.
#[derive(Debug, Default)]
pub(super) struct Ports {
    listeners: Vec<(Arc<TcpListener>, u16)>,
}

impl Ports {
    pub(super) async fn bind(wanted: &[Publish]) -> Result<Self, Error> {
        let mut listeners = Vec::new();
        for port in wanted {
            let bound = TcpListener::bind(port.host).await;
            let listener = bound.map_err(|source| Error::Publish {
                address: port.host,
                source,
            })?;
            listeners.push((Arc::new(listener), port.guest_port));
        }
        Ok(Self { listeners })
    }

    /// What is published, with the ports that the system chose.
    pub(super) fn published(&self) -> Vec<Publish> {
        let told = |(listener, guest_port): &(Arc<TcpListener>, u16)| {
            Some(Publish {
                host: listener.local_addr().ok()?,
                guest_port: *guest_port,
            })
        };
        self.listeners.iter().filter_map(told).collect()
    }

    /// Carries connections to the guest until the returned value is dropped.
    pub(super) fn serve(&self, guest: &Session) -> JoinSet<()> {
        let free = Arc::new(Semaphore::new(MAX_OPEN));
        let mut tasks = JoinSet::new();
        for (listener, port) in &self.listeners {
            let (listener, guest) = (Arc::clone(listener), guest.clone());
            tasks.spawn(accept(listener, *port, guest, Arc::clone(&free)));
        }
        tasks
    }
}

async fn accept(listener: Arc<TcpListener>, port: u16, guest: Session, free: Arc<Semaphore>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await; // out of descriptors
            continue;
        };
        let guest = guest.clone();
        connections.spawn(async move {
            let _ = carry(client, port, &guest).await; // its end is its own affair
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(mut client: TcpStream, port: u16, guest: &Session) -> io::Result<()> {
    client.set_nodelay(true)?;
    let carried = match guest.reach(port).await {
        Ok(mut stream) => copy_bidirectional(&mut client, &mut stream).await.map(drop),
        Err(error) => Err(io::Error::other(error)),
    };
    if carried.is_err() {
        // A reset, so that nobody takes the end for a complete answer.
        client.set_zero_linger()?;
    }
    carried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_and_a_free_one_told() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let publish = |host| Publish {
            host,
            guest_port: 80,
        };
        let host = taken.local_addr().unwrap();
        let error = Ports::bind(&[publish(host)]).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`{host}` can't be published"));
        assert!(error.help().unwrap().contains("port 0"));
        let ports = Ports::bind(&[publish("127.0.0.1:0".parse().unwrap())])
            .await
            .unwrap();
        let [told] = ports.published()[..] else {
            panic!("{ports:?}");
        };
        assert!(told.host.port() != 0 && told.guest_port == 80);
    }
}
