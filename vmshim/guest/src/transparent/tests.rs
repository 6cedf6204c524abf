use tokio::io::duplex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use wire::mux::{self, Acceptor, Opener, Side, Stream};

use super::*;

/// A relay with a plain listener, whose connections all mean one target.
struct Rig {
    address: SocketAddr,
    proxy: Acceptor,
    _connected: watch::Sender<Option<Opener>>,
    _tasks: JoinSet<()>,
}

impl Rig {
    async fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (host, guest) = duplex(64 * 1024);
        let (opener, _, driver) = mux::new(guest, Side::Guest);
        let (_, proxy, host_driver) = mux::new(host, Side::Host);
        let (connected, channel) = watch::channel(Some(opener));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(driver.run().await) });
        tasks.spawn(async move { drop(host_driver.run().await) });
        tasks.spawn(async move {
            let accepted = relay::accept(listener, channel, move |mut tcp, stream| async move {
                let carried = carry_to(&mut tcp, name, stream).await;
                relay::end(&tcp, carried);
            });
            panic!("{}", accepted.await);
        });
        Self {
            address,
            proxy,
            _connected: connected,
            _tasks: tasks,
        }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The request that the proxy sees, read to the end of its head.
    async fn request(&mut self) -> (String, Stream) {
        let mut stream = self.proxy.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (String::from_utf8(head).unwrap(), stream)
    }
}

#[test]
fn the_address_dialled_names_the_target() {
    let names = Shared::default();
    let address = names.lock().unwrap().address("api.example.com");
    let dialled = |ip: IpAddr| target(SocketAddr::new(ip, 8443), &names);
    assert_eq!(dialled(address.into()).unwrap(), "api.example.com:8443");
    for never_given in ["198.18.99.1", "198.18.0.1", "127.0.0.1", "::1"] {
        let error = dialled(never_given.parse().unwrap()).unwrap_err();
        assert_eq!(
            error.kind(),
            io::ErrorKind::AddrNotAvailable,
            "{never_given}"
        );
    }
}

#[tokio::test]
async fn consent_joins_both_ends() {
    let mut rig = Rig::new("api.example.com:443").await;
    let mut client = rig.client().await;
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let (head, mut proxy) = rig.request().await;
    let wanted = "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n";
    assert_eq!(head, wanted);
    // The head comes in two pieces, the second with the origin's first bytes.
    proxy
        .write_all(b"HTTP/1.1 200 Connection est")
        .await
        .unwrap();
    proxy.flush().await.unwrap();
    proxy.write_all(b"ablished\r\n\r\nwelcome").await.unwrap();
    let mut seen = String::new();
    proxy.read_to_string(&mut seen).await.unwrap();
    assert_eq!(seen, "hello");
    proxy.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "welcome");
}

const DENIED: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\ndenied\n";

#[tokio::test]
async fn a_refusal_is_told_in_the_clients_language() {
    let rows: [(&[u8], &[u8]); 2] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", DENIED),
        (
            b"\x16\x03\x01\x00\x05hello",
            b"\x15\x03\x03\x00\x02\x02\x31",
        ),
    ];
    for (says, hears) in rows {
        let mut rig = Rig::new("evil.example:443").await;
        let mut client = rig.client().await;
        client.write_all(says).await.unwrap();
        let (_, mut proxy) = rig.request().await;
        proxy.write_all(DENIED).await.unwrap();
        proxy.shutdown().await.unwrap();
        let mut heard = vec![0; hears.len()];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, hears);
        client.shutdown().await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "an orderly end");
    }
}

#[tokio::test]
async fn anything_else_is_reset() {
    // A client that waits for the server to speak; one with a protocol of its own; a proxy that dies;
    // one that talks nonsense; one whose head never ends.
    let endless = [b"HTTP/1.1 200 OK\r\n".as_slice(), &[b'a'; MAX_HEAD]].concat();
    let rows: [(&[u8], &[u8]); 5] = [
        (b"", DENIED),
        (b"\0\0\0\x08", DENIED),
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", &endless),
    ];
    for (says, proxy_says) in rows {
        let mut rig = Rig::new("evil.example:22").await;
        let mut client = rig.client().await;
        client.write_all(says).await.unwrap();
        let (_, mut proxy) = rig.request().await;
        // The relay may have given up before all of it is written.
        let _ = proxy.write_all(proxy_says).await;
        let _ = proxy.shutdown().await;
        let error = client.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{says:?}");
    }
}
