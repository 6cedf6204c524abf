//! Names that only a parent can resolve.

use proxy::parent::Parents;

use super::working::Working;
use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::world::{config, deny};
use crate::support::{Canary, World, soon};

/// A proxy with `parent` for both schemes but for `direct.test`, which may `resolve` what this machine cannot.
async fn world(parent: Option<&Working>, resolve: bool) -> World {
    let address = parent.map(|parent| parent.address.to_string());
    let parents = Parents::from_variables(|name| match name {
        "ALL_PROXY" => address.clone(),
        "NO_PROXY" => Some("direct.test".into()),
        "SANDBOX_PARENT_RESOLVES" => resolve.then(|| "1".into()),
        _ => None,
    })
    .unwrap();
    World::made(&deny(&[]), |options| options.parents = parents).await
}

/// Asked for by name, in every carriage; the log says who chose the address.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_resolves_what_an_exact_rule_allows() {
    let parent = Working::start(None).await;
    let world = world(Some(&parent), true).await;
    let tls = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    let secure = Canary::https(tls, |_| ok("secure")).await;
    let unread = Canary::http(|_| ok("unread")).await;
    let [secure, unread] =
        [&secure, &unread].map(|origin| format!("canary.test:{}", origin.port()));
    world.set(&deny(&["canary.test", "known.test"]));

    assert_eq!(world.get("canary.test", "/a").await.body, "plain");
    let mut tunnel = world.inside(&secure).await;
    for _ in 0..2 {
        assert_eq!(tunnel.get(&secure, "/").await.unwrap().body, "secure");
    }
    world.set(&config("deny", &["canary.test"], &[], &["canary.test"]));
    let mut tunnel = world.connect(&unread).await.unwrap();
    assert_eq!(tunnel.get("canary.test", "/").await.unwrap().body, "unread");
    let expected = [
        "GET http://canary.test/a HTTP/1.1".to_owned(),
        format!("CONNECT {secure} HTTP/1.1"),
        format!("CONNECT {unread} HTTP/1.1"),
    ];
    assert_eq!(parent.asked(), expected);

    // The permission is taken back like any other: a wildcard is not enough.
    world.set(&config("deny", &["*.test"], &[], &["canary.test"]));
    assert!(soon("the end", tunnel.rest()).await.is_empty());

    let event = world.event("a line", |event| event.status.is_some()).await;
    let via = Some(parent.address.to_string());
    assert_eq!((event.address, event.via, event.by_name), (None, via, true));

    // A name that is known here is asked for by its judged address, as ever.
    world.dns.points("known.test", &["203.0.113.7"]);
    world.set(&config("deny", &["known.test"], &[], &["known.test"]));
    let asking = world.connect("known.test:9");
    let _ = asking.await;
    assert_eq!(parent.asked()[3], "CONNECT 203.0.113.7:9 HTTP/1.1");
}

/// Where nobody may ask the parent, nobody does, and the answer says what would have to be.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_exact_rule_and_consent_a_name_stays_unknown() {
    let parent = Working::start(None).await;
    let exact = deny(&["far.test", "direct.test"]);
    let wildcard = deny(&["*.test"]);
    let open = config("allow", &[], &["blocked.test"], &[]);
    let any = deny(&["*:443", "*:80"]);
    let told = "SANDBOX_PARENT_RESOLVES=1";
    let rules = "names that an exact rule allows";
    // Consent, policy, host, status, reason, what the answer says.
    let rows = [
        (false, &exact, "far.test", 502, "dns-not-found", told),
        (false, &open, "far.test", 502, "dns-not-found", told),
        (true, &wildcard, "far.test", 502, "dns-not-found", rules),
        (true, &open, "far.test", 502, "dns-not-found", rules),
        (true, &any, "far.test", 502, "dns-not-found", rules),
        (
            true,
            &exact,
            "direct.test",
            502,
            "dns-not-found",
            "no such name",
        ),
        (
            true,
            &open,
            "blocked.test",
            403,
            "host-rule",
            "blocked.test",
        ),
        (true, &exact, "other.test", 403, "default", "other.test"),
    ];
    for consent in [false, true] {
        let world = world(Some(&parent), consent).await;
        for (_, policy, host, status, reason, says) in rows.iter().filter(|row| row.0 == consent) {
            world.set(policy);
            let plain = world.get(host, "/").await;
            let tunnel = world.connect(&format!("{host}:443")).await.err().unwrap();
            for answer in [plain, tunnel] {
                assert_eq!(
                    (answer.status, answer.reason()),
                    (*status, *reason),
                    "{host}"
                );
                assert!(answer.body.contains(says), "{}", answer.body);
                let hinted = *host == "far.test";
                assert_eq!(answer.body.contains("parent"), hinted, "{}", answer.body);
            }
        }
    }
    // Without a parent nothing is said of one.
    let world = world(None, true).await;
    world.set(&exact);
    let answer = world.get("far.test", "/").await;
    assert_eq!((answer.status, answer.reason()), (502, "dns-not-found"));
    assert!(!answer.body.contains("parent"), "{}", answer.body);
    assert!(parent.heads().is_empty());
}
