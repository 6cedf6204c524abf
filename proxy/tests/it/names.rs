//! Spellings of hosts: one canonical form, or 400, before any name server hears of it.

use crate::support::dns::Zone;
use crate::support::origin::ok;
use crate::support::world::deny;
use crate::support::{Canary, World};

#[tokio::test(flavor = "multi_thread")]
async fn one_target_however_it_is_spelled() {
    let canary = Canary::http(|_| ok("hello")).await;
    let port = canary.port();
    let world = World::new(&deny(&[&format!("canary.test:{port}")])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    for spelling in ["canary.test", "CANARY.test", "canary.test.", "Canary.Test."] {
        let authority = format!("{spelling}:{port}");
        assert_eq!(world.get(&authority, "/").await.status, 200, "{authority}");
    }
    let host = format!("host: canary.test:{port}\r\n");
    assert!(
        canary
            .requests()
            .iter()
            .all(|request| request.contains(&host))
    );
    assert!(
        world
            .events()
            .iter()
            .all(|event| event.target.as_deref() == Some(&*format!("canary.test:{port}")))
    );
    // A name that only looks alike.
    for other in ["canary.test.evil.test", "xcanary.test", "www.canary.test"] {
        assert_eq!(
            world.get(&format!("{other}:{port}"), "/").await.status,
            403,
            "{other}"
        );
    }
}

/// N7
#[tokio::test(flavor = "multi_thread")]
async fn an_alias_is_judged_by_its_address() {
    let canary = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", canary.port());
    let world = World::new(r#"{"policy":"allow"}"#).await;
    world.dns.points("inside.test", &["127.0.0.1"]);
    world.dns.set("canary.test", Zone::Alias("inside.test."));
    let answer = world.get(&authority, "/").await;
    assert_eq!((answer.status, answer.reason()), (403, "this-machine"));
    assert!(world.connect(&authority).await.is_err());
    assert_eq!(canary.seen().connections, 0);
    // A rule about what it stands for says nothing about it.
    world.set(&deny(&[&format!("inside.test:{}", canary.port())]));
    assert_eq!(world.get(&authority, "/").await.reason(), "default");
    assert_eq!(canary.seen().connections, 0);
    // Control: a rule with its own name and port does.
    world.set(&deny(&[&authority]));
    assert_eq!(world.get(&authority, "/").await.status, 200);
}
