//! Spellings of hosts: one canonical form, or 400, before any name server hears of it.

use crate::support::origin::ok;
use crate::support::world::deny;
use crate::support::{Canary, World};

const REFUSED: &[&str] = &[
    // N1
    "127.1",
    "0x7f000001",
    "0x7f.1",
    "2130706433",
    "0177.0.0.1",
    "0",
    "00",
    "127.0.0.1.",
    "127.0.0.01",
    "1.2.3.4.5",
    // N8
    "a%00.test",
    "a%2etest",
    "u@canary.test",
    "[canary.test]",
    "[[::1]]",
    "a..test",
    ".canary.test",
    "-a.test",
    "[::1%25lo]",
    "[::1%lo]",
    "canary.test..",
    "a_b.test:99999",
    "b\u{fc}cher.test",
    "xn--\u{fc}.test",
];

const PORTS: &[&str] = &[
    "0", "65536", "007", "+80", "-1", "8 0", "80:443", "", "\u{661}",
];

#[tokio::test(flavor = "multi_thread")]
async fn strange_spellings_are_refused_everywhere() {
    let canary = Canary::http(|_| ok("hello")).await;
    let world = World::new(r#"{"policy":"allow","network":{"blockCIDR":[]}}"#).await;
    let long = format!("{}.test", "a".repeat(64));
    let longer = "a.".repeat(127) + "test";
    let hosts = REFUSED
        .iter()
        .copied()
        .chain([long.as_str(), longer.as_str()])
        .map(|host| format!("{host}:{}", canary.port()));
    let ports = PORTS.iter().map(|port| format!("canary.test:{port}"));
    for authority in hosts.chain(ports) {
        let plain = format!(
            "GET http://{authority}/ HTTP/1.1\r\nHost: canary.test\r\nConnection: close\r\n\r\n"
        );
        let tunnel = format!("CONNECT {authority} HTTP/1.1\r\nHost: canary.test\r\n\r\n");
        for request in [plain, tunnel] {
            let answer = world.raw(&request).await.unwrap();
            assert_eq!(answer.status, 400, "{request:?} {answer:?}");
        }
    }
    assert_eq!(world.dns.asked(), Vec::<String>::new());
    assert_eq!(canary.seen().connections, 0);
}

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

/// N2, N3: addresses that embed another are judged as that other one, as literals and from a name server.
#[tokio::test(flavor = "multi_thread")]
async fn embedded_addresses_are_judged() {
    let world = World::new(r#"{"policy":"allow"}"#).await;
    let addresses = [
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::",
        "::1",
        "::ffff:10.1.2.3",
        "64:ff9b::a9fe:a9fe",
        "2002:a00:1::",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ];
    for (number, address) in addresses.iter().enumerate() {
        let literal = world.get(&format!("[{address}]:81"), "/").await;
        assert_eq!(literal.status, 403, "{address}");
        let name = format!("n{number}.test");
        world.dns.points(&name, &[address]);
        assert_eq!(
            world.get(&format!("{name}:81"), "/").await.status,
            403,
            "{address} by name"
        );
    }
}
