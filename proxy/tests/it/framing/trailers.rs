//! What stands beside a chunked body: extensions and trailers.

use crate::support::{Reply, World};
use crate::threats::{Adapter, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn trailers_and_extensions_are_filtered() {
    let rig = Rig::new().await;
    for adapter in [Adapter::Absolute, Adapter::Tunnel, Adapter::Http1] {
        let request = "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n\
            3;evil=\"x\"\r\nabc\r\n0\r\nAuthorization: secret\r\nContent-Length: 5\r\nHost: evil\r\n\r\n";
        let mut client = rig.wire(adapter).await;
        client.send(&rig.text(adapter, request)).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        let arrived = rig.origin(adapter).requests().pop().unwrap();
        assert!(
            arrived.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            "{adapter:?} {arrived:?}"
        );
        for word in ["evil", "secret"] {
            assert!(!arrived.contains(word), "{adapter:?} {arrived:?}");
        }
    }
}

/// The origin's go on to clients that want them, and nobody waits behind them for more.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_an_answer() {
    let (world, _canary, authority) = World::around(|_| {
        Reply::Send(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
              3\r\nabc\r\n0\r\nx-sum: 7\r\nset-cookie: evil\r\n\r\n"
                .to_vec(),
        )
    })
    .await;
    for (wants, trailers) in [("", ""), ("TE: trailers\r\n", "x-sum: 7\r\n")] {
        let request =
            format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{wants}\r\n");
        let mut client = world.dial().await;
        client.send(request.as_bytes()).await;
        let body = format!("3\r\nabc\r\n0\r\n{trailers}\r\n");
        let mut got = Vec::new();
        while !got.ends_with(body.as_bytes()) {
            got.extend(client.exactly(1).await);
        }
    }
}
