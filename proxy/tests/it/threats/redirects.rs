//! D14: a redirect is handed on, whoever it leads to, and what it leads to is a question of its own.

use super::{Adapter, Rig};
use crate::support::h2::Client;
use crate::support::origin::ok;
use crate::support::world::deny;
use crate::support::{Canary, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_handed_on() {
    let elsewhere = Canary::http(|_| ok("hello")).await;
    let location = format!("http://elsewhere.test:{}/", elsewhere.port());
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let rig = Rig::answering(move |_| Reply::Send(answer.clone().into_bytes())).await;
    rig.world.dns.points("elsewhere.test", &["127.0.0.1"]);
    for adapter in Adapter::TEXT {
        let mut wire = rig.wire(adapter).await;
        let request = rig.text(adapter, "GET {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        wire.send(&request).await;
        let answer = wire.answer().await.unwrap();
        let told = (answer.status, answer.field("location"));
        assert_eq!(told, (302, Some(&*location)), "{adapter:?}");
    }
    let client = Client::connect(&rig.world, &rig.authority(Adapter::Http2), &[b"h2"]).await;
    assert_eq!(client.get("/").await.0, 302);

    // Where it leads to, nobody has been; and who goes there is refused.
    let authority = format!("elsewhere.test:{}", elsewhere.port());
    assert_eq!(rig.world.get(&authority, "/").await.status, 403);
    assert_eq!(elsewhere.seen().connections, 0);
    assert!(!rig.world.dns.asked().contains(&"elsewhere.test.".into()));
    // The control: where a rule allows it, they arrive.
    rig.world.set(&deny(&[&authority]));
    assert_eq!(rig.world.get(&authority, "/").await.status, 200);
    assert_eq!(elsewhere.seen().connections, 1);
}
