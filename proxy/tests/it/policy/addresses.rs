//! Names and what they resolve to: which addresses may be dialled, and when anybody is asked for them.

use super::world;
use crate::support::dns::Zone;
use crate::support::world::{config, deny};

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_name_is_never_resolved() {
    let (world, _canary, authority) = world(&deny(&["other.test"])).await;
    assert_eq!(world.get(&authority, "/").await.status, 403);
    assert!(world.connect(&authority).await.is_err());
    assert_eq!(world.dns.asked(), Vec::<String>::new());
    // Control: the same request under a policy that allows it asks, and arrives.
    world.set(&deny(&[&authority]));
    assert_eq!(world.get(&authority, "/").await.status, 200);
    assert!(world.dns.asked().contains(&"canary.test.".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_judged_after_names() {
    let rows: &[(&str, &str, u16, &str)] = &[
        // Allowed by default or wildcard: the address decides, and loopback is this machine.
        (r#"{"policy":"allow"}"#, "127.0.0.1", 403, "this-machine"),
        (
            r#"{"policy":"deny","network":{"allowedDomains":["*.test"]}}"#,
            "127.0.0.1",
            403,
            "this-machine",
        ),
        (r#"{"policy":"allow"}"#, "10.0.0.1", 403, "block-cidr"),
        (
            r#"{"policy":"allow"}"#,
            "::ffff:10.0.0.1",
            403,
            "block-cidr",
        ),
        (r#"{"policy":"allow"}"#, "64:ff9b::a00:1", 403, "block-cidr"),
        (r#"{"policy":"allow"}"#, "0.0.0.0", 403, "this-machine"),
        (r#"{"policy":"allow"}"#, "169.254.169.254", 403, "metadata"),
        (
            r#"{"policy":"deny","network":{"allowedDomains":["canary.test:PORT"]}}"#,
            "169.254.169.254",
            403,
            "metadata",
        ),
        (
            r#"{"policy":"deny","network":{"allowedDomains":["canary.test"]}}"#,
            "127.0.0.1",
            403,
            "this-machine",
        ),
        // Named with its port: the rule speaks for this machine too.
        (
            r#"{"policy":"deny","network":{"allowedDomains":["canary.test:PORT"]}}"#,
            "127.0.0.1",
            200,
            "",
        ),
    ];
    for (policy, address, status, reason) in rows {
        let (world, canary, authority) = world(policy).await;
        world.dns.points("canary.test", &[address]);
        let answer = world.get(&authority, "/").await;
        assert_eq!(
            (answer.status, answer.reason()),
            (*status, *reason),
            "{policy} {address}"
        );
        assert_eq!(
            canary.seen().connections,
            usize::from(*status == 200),
            "{policy} {address}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_addresses_are_dropped_and_good_ones_used() {
    let policy =
        r#"{"policy":"deny","network":{"allowedDomains":["canary.test:PORT"],"blockCIDR":[]}}"#;
    let (world, canary, authority) = world(policy).await;
    // One address of two is cloud metadata, which no name opens; the other is the canary.
    world
        .dns
        .points("canary.test", &["169.254.169.254", "127.0.0.1"]);
    let answer = world.get(&authority, "/").await;
    assert_eq!(answer.status, 200);
    let event = world
        .event("the request", |event| event.status == Some(200))
        .await;
    assert_eq!(event.address, Some(canary.address));
    assert!(event.message.unwrap().contains("169.254.169.254"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_its_address_gains_nothing() {
    let (world, canary, authority) = world(&config("allow", &[], &[], &[])).await;
    // First a private address, then loopback.
    world.dns.set(
        "canary.test",
        Zone::Changing(vec![
            "10.9.9.9".parse().unwrap(),
            "127.0.0.1".parse().unwrap(),
        ]),
    );
    for _ in 0..3 {
        assert_eq!(world.get(&authority, "/").await.status, 403);
    }
    assert_eq!(canary.seen().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn localhost_needs_a_rule_with_its_port() {
    let (world, canary, _) = world(r#"{"policy":"allow"}"#).await;
    let port = canary.port();
    let spellings = [
        format!("localhost:{port}"),
        format!("LOCALHOST:{port}"),
        format!("localhost.:{port}"),
        format!("host.docker.internal:{port}"),
        format!("gateway.docker.internal:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("x.localhost:{port}"),
    ];
    for authority in &spellings {
        assert_eq!(world.get(authority, "/").await.status, 403, "{authority}");
        assert_eq!(
            world
                .connect(authority)
                .await
                .err()
                .map(|answer| answer.status),
            Some(403),
            "{authority}"
        );
    }
    assert_eq!(canary.seen().connections, 0);
    // Control: with the rule, every alias is the same place, and no name server is asked.
    world.set(&deny(&[&format!("localhost:{port}")]));
    for authority in &spellings[..5] {
        assert_eq!(world.get(authority, "/").await.status, 200, "{authority}");
    }
    assert_eq!(world.dns.asked(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_never_dials_itself() {
    let (world, _canary, _) = world(r#"{"policy":"allow"}"#).await;
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(world.proxy.clone().serve(listener));
    let hosts = [
        "127.0.0.1",
        "localhost",
        "127.0.0.2",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "self.test",
    ];
    let rules: Vec<String> = hosts.iter().map(|host| format!("{host}:{port}")).collect();
    world.set(&deny(&rules.iter().map(String::as_str).collect::<Vec<_>>()));
    world.dns.points("self.test", &["127.0.0.1"]);
    for rule in &rules {
        let answer = world.get(rule, "/").await;
        assert_eq!(
            (answer.status, answer.reason()),
            (403, "own-listener"),
            "{rule}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_needs_a_rule_for_the_address() {
    let (world, canary, _) = world(&deny(&["canary.test:PORT", "*.test"])).await;
    let literal = format!("127.0.0.1:{}", canary.port());
    assert_eq!(world.get(&literal, "/").await.reason(), "default");
    assert_eq!(world.connect(&literal).await.err().unwrap().status, 403);
    world.set(&deny(&[&literal]));
    assert_eq!(world.get(&literal, "/").await.status, 200);
}
