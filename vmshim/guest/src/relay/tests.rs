use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::JoinSet;
use tokio::time::timeout;
use wire::mux::{self, Acceptor, Side};

use super::*;

const A_WHILE: Duration = Duration::from_secs(30);

/// A relay, what sets its channel, and tasks that end with the value.
struct Rig {
    port: u16,
    connected: watch::Sender<Option<Opener>>,
    tasks: JoinSet<()>,
}

impl Rig {
    async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connected, channel) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { panic!("{}", run(listener, channel).await) });
        Self {
            port,
            connected,
            tasks,
        }
    }

    /// A proxy process connects; the last one, if any, is cut off.
    fn connect(&mut self) -> (Acceptor, tokio::task::AbortHandle) {
        let (host, guest) = duplex(64 * 1024);
        let (opener, _, driver) = mux::new(guest, Side::Guest);
        self.tasks.spawn(async move { drop(driver.run().await) });
        let (_, acceptor, driver) = mux::new(host, Side::Host);
        let host = self.tasks.spawn(async move { drop(driver.run().await) });
        self.connected.send_replace(Some(opener));
        (acceptor, host)
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn bytes_and_both_ends_pass() {
    let mut rig = Rig::new().await;
    let (mut proxy, _host) = rig.connect();
    let mut client = rig.client().await;
    client.write_all(b"GET").await.unwrap();
    client.shutdown().await.unwrap();
    let mut stream = proxy.accept().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "GET");
    stream.write_all(b"answer").await.unwrap();
    stream.shutdown().await.unwrap();
    text.clear();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "answer");
}

#[tokio::test]
async fn a_proxy_that_aborts_is_not_taken_for_one_that_ends() {
    let mut rig = Rig::new().await;
    let (mut proxy, _host) = rig.connect();
    let mut client = rig.client().await;
    client.write_all(b"GET").await.unwrap();
    let mut stream = proxy.accept().await.unwrap();
    stream.write_all(b"half an ans").await.unwrap();
    let mut half = [0; 11];
    client.read_exact(&mut half).await.unwrap();
    drop(stream);
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_aborts_is_not_taken_for_one_that_ends() {
    let mut rig = Rig::new().await;
    let (mut proxy, _host) = rig.connect();
    let mut client = rig.client().await;
    client.write_all(b"!").await.unwrap();
    let mut stream = proxy.accept().await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'!');
    client.set_zero_linger().unwrap();
    drop(client);
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn without_a_proxy_clients_wait_for_the_next() {
    let mut rig = Rig::new().await;
    let mut early = rig.client().await;
    early.write_all(b"!").await.unwrap();
    for _ in 0..3 {
        let (mut proxy, host) = rig.connect();
        let mut stream = proxy.accept().await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'!');
        host.abort(); // the proxy dies; its connections die with it
        let read = timeout(A_WHILE, early.read_u8()).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        early = rig.client().await;
        early.write_all(b"!").await.unwrap();
    }
}

/// Time passes at once where nothing else is to do.
#[tokio::test(start_paused = true)]
async fn clients_wait_no_longer_than_a_proxy_takes_to_be_replaced() {
    let rig = Rig::new().await;
    let mut client = rig.client().await;
    let read = timeout(A_WHILE, client.read_u8()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}
