//! Policy over the wire: who gets through, what a denial says, and changes while running.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::dns::Zone;
use crate::support::origin::ok;
use crate::support::world::{config, deny};
use crate::support::{Canary, World, soon};

/// A world with one origin, `canary.test`, that `policy` decides about; `PORT` stands for its port.
async fn world(policy: &str) -> (World, Canary) {
    let canary = Canary::http(|_| ok("hello")).await;
    let world = World::new(&policy.replace("PORT", &canary.port().to_string())).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    (world, canary)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_request_arrives_rebuilt() {
    let (world, canary) = world(&deny(&["canary.test:PORT"])).await;
    let authority = format!("canary.test:{}", canary.port());
    let request = format!(
        "GET http://{authority}/a?q=1 HTTP/1.1\r\nHost: {authority}\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic c2VjcmV0\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nAccept: */*\r\n\r\n"
    );
    let answer = world.raw(request).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    assert_eq!(answer.field("x-sandbox-reason"), None);
    let expected = format!("GET /a?q=1 HTTP/1.1\r\nhost: {authority}\r\naccept: */*\r\n\r\n");
    assert_eq!(canary.requests(), [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_names_host_rule_and_remedy() {
    let (world, canary) = world(&config("deny", &[], &["blocked.test"], &[])).await;
    let rows = [
        (
            "canary.test",
            "default",
            "none; the default decided",
            "--allow-host canary.test:80",
        ),
        (
            "blocked.test",
            "host-rule",
            "block blocked.test (proxy-config.json:1)",
            "--remove-host blocked.test",
        ),
    ];
    for (host, reason, rule, remedy) in rows {
        let answer = world.get(host, "/").await;
        assert_eq!((answer.status, answer.reason()), (403, reason));
        assert_eq!(
            answer.field("content-type"),
            Some("text/plain; charset=utf-8")
        );
        for part in [host, rule, &format!("sandbox network proxy s1 {remedy}\n")] {
            assert!(answer.body.contains(part), "{part} in {}", answer.body);
        }
        let tunnel = world.connect(&format!("{host}:80")).await.err().unwrap();
        assert_eq!(
            (tunnel.status, tunnel.reason(), tunnel.body.as_str()),
            (403, reason, answer.body.as_str())
        );
    }
    assert_eq!(canary.seen().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_name_is_never_resolved() {
    let (world, canary) = world(&deny(&["other.test"])).await;
    let authority = format!("canary.test:{}", canary.port());
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
        let (world, canary) = world(policy).await;
        world.dns.points("canary.test", &[address]);
        let answer = world
            .get(&format!("canary.test:{}", canary.port()), "/")
            .await;
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
    let (world, canary) = world(&config("allow", &[], &[], &[])).await;
    let port = canary.port();
    let policy = format!(
        r#"{{"policy":"deny","network":{{"allowedDomains":["canary.test:{port}"],"blockCIDR":[]}}}}"#
    );
    world.set(&policy);
    // One address of two is cloud metadata, which no name opens; the other is the canary.
    world
        .dns
        .points("canary.test", &["169.254.169.254", "127.0.0.1"]);
    let answer = world.get(&format!("canary.test:{port}"), "/").await;
    assert_eq!(answer.status, 200);
    let event = world
        .event("the request", |event| event.status == Some(200))
        .await;
    assert_eq!(event.address, Some(canary.address));
    assert!(event.message.unwrap().contains("169.254.169.254"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_its_address_gains_nothing() {
    let (world, canary) = world(&config("allow", &[], &[], &[])).await;
    // First a public address (TEST-NET-1, nothing listens), then loopback.
    world.dns.set(
        "canary.test",
        Zone::Changing(vec![
            "10.9.9.9".parse().unwrap(),
            "127.0.0.1".parse().unwrap(),
        ]),
    );
    let authority = format!("canary.test:{}", canary.port());
    for _ in 0..3 {
        assert_eq!(world.get(&authority, "/").await.status, 403);
    }
    assert_eq!(canary.seen().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn localhost_needs_a_rule_with_its_port() {
    let (world, canary) = world(r#"{"policy":"allow"}"#).await;
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
    let (world, _canary) = world(r#"{"policy":"allow"}"#).await;
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
    let (world, canary) = world(&deny(&["canary.test:PORT", "*.test"])).await;
    let literal = format!("127.0.0.1:{}", canary.port());
    assert_eq!(world.get(&literal, "/").await.reason(), "default");
    assert_eq!(world.connect(&literal).await.err().unwrap().status, 403);
    world.set(&deny(&[&literal]));
    assert_eq!(world.get(&literal, "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_for_its_port() {
    let (world, canary) = world(&deny(&["canary.test:443", "*.test:443"])).await;
    let authority = format!("canary.test:{}", canary.port());
    assert_eq!(world.get(&authority, "/").await.status, 403);
    assert_eq!(
        world.connect("canary.test:22").await.err().unwrap().status,
        403
    );
}

/// However a file is saved, the change is seen, without anybody asking.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_saving_is_noticed() {
    type Save = fn(&Path, &str);
    let in_place: Save = |path, text| std::fs::write(path, text).unwrap();
    let rename_over: Save = |path, text| {
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    };
    let editor: Save = |path, text| {
        // vim with backup: move the old away, write the new, remove the old.
        std::fs::write(path.with_extension("json.swp"), "b0VIM").unwrap();
        std::fs::rename(path, path.with_extension("json~")).unwrap();
        std::fs::write(path, text).unwrap();
        std::fs::remove_file(path.with_extension("json~")).unwrap();
        std::fs::remove_file(path.with_extension("json.swp")).unwrap();
    };
    let delete_and_create: Save = |path, text| {
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let symlink_swap: Save = |path, text| {
        // Kubernetes: file -> ..data/file, ..data -> ..<time>, and ..data is swapped.
        let dir = path.parent().unwrap();
        let version = dir.join(format!("..{}", text.len()));
        std::fs::create_dir_all(&version).unwrap();
        std::fs::write(version.join("proxy-config.json"), text).unwrap();
        let (data, draft) = (dir.join("..data"), dir.join("..data_tmp"));
        symlink(&version, &draft).unwrap();
        std::fs::rename(&draft, &data).unwrap();
        if !path.is_symlink() {
            std::fs::remove_file(path).unwrap();
            symlink("..data/proxy-config.json", path).unwrap();
        }
    };
    let ways = [
        in_place,
        rename_over,
        editor,
        delete_and_create,
        symlink_swap,
        symlink_swap,
        in_place,
    ];
    let (world, canary) = world(&deny(&[])).await;
    let authority = format!("canary.test:{}", canary.port());
    for (number, save) in ways.iter().enumerate() {
        for (allowed, status) in [(vec![authority.as_str()], 200), (vec![], 403)] {
            save(&world.config_path(), &deny(&allowed));
            let saved = std::time::Instant::now();
            soon("the change", async {
                // The connection may be closed under the request by the very change.
                while world.try_get(&authority, "/").await != Some(status) {}
            })
            .await;
            assert!(
                saved.elapsed().as_millis() < 2000,
                "way {number}: {:?}",
                saved.elapsed()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_changes_nothing_and_is_told() {
    let (world, canary) = world(&deny(&["canary.test:PORT"])).await;
    let authority = format!("canary.test:{}", canary.port());
    std::fs::write(world.config_path(), "{\n  \"policy\": \"perhaps\"\n}").unwrap();
    let error = proxy::admin::reload(&world.admin())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("proxy-config.json:2:13: "), "{error}");
    assert_eq!(world.get(&authority, "/").await.status, 200);
    let status = proxy::admin::status(&world.admin()).unwrap();
    assert_eq!(
        (status.generation, status.degraded),
        (1, Some(error.clone()))
    );
    let log = std::fs::read_to_string(world.dir.path().join("network.jsonl")).unwrap();
    assert!(
        log.contains(r#""type":"config""#)
            && log.contains("config-invalid")
            && log.contains(":2:13: "),
        "{log}"
    );
    // Gone altogether: the same.
    std::fs::remove_file(world.config_path()).unwrap();
    assert!(proxy::admin::reload(&world.admin()).is_err());
    assert_eq!(world.get(&authority, "/").await.status, 200);
    // Whole again.
    world.set(&deny(&[]));
    assert_eq!(world.get(&authority, "/").await.status, 403);
    assert_eq!(proxy::admin::status(&world.admin()).unwrap().degraded, None);
}

/// F22: what can happen to the file leaves the last good policy in force, is told, and is over when the file is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_changes_nothing_and_a_whole_one_does() {
    use std::os::unix::fs::PermissionsExt as _;
    type Damage = fn(&Path);
    let rows: &[(&str, Damage, &str)] = &[
        (
            "deleted",
            |path| std::fs::remove_file(path).unwrap(),
            "No such file",
        ),
        (
            "emptied",
            |path| std::fs::write(path, "").unwrap(),
            "proxy-config.json:1:1",
        ),
        (
            "cut",
            |path| std::fs::write(path, r#"{"policy":"allo"#).unwrap(),
            "proxy-config.json:1:",
        ),
        (
            "not text",
            |path| std::fs::write(path, [0xff, 0xfe]).unwrap(),
            "not UTF-8",
        ),
        (
            "a folder",
            |path| {
                std::fs::remove_file(path).unwrap();
                std::fs::create_dir(path).unwrap();
            },
            "Is a directory",
        ),
        (
            "a link to itself",
            |path| {
                std::fs::remove_file(path).unwrap();
                symlink(path, path).unwrap();
            },
            "symbolic links",
        ),
        (
            "unreadable",
            |path| {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap();
            },
            "Permission denied",
        ),
    ];
    let (world, canary) = world(&deny(&["canary.test:PORT"])).await;
    let authority = format!("canary.test:{}", canary.port());
    let path = world.config_path();
    for (number, (name, damage, told)) in rows.iter().enumerate() {
        // Root may read everything.
        if *told == "Permission denied" && rustix::process::geteuid().is_root() {
            continue;
        }
        world.set(&deny(&[&authority, &format!("n{number}.test")]));
        let generation = proxy::admin::status(&world.admin()).unwrap().generation;
        damage(&path);
        let error = proxy::admin::reload(&world.admin())
            .unwrap_err()
            .to_string();
        assert!(error.contains(told), "{name}: {error}");
        assert_eq!(world.get(&authority, "/").await.status, 200, "{name}");
        let status = proxy::admin::status(&world.admin()).unwrap();
        assert_eq!(
            (status.generation, status.degraded),
            (generation, Some(error)),
            "{name}"
        );
        let removed = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
        removed.unwrap_or_default();
    }
    world.set(&deny(&[]));
    assert_eq!(world.get(&authority, "/").await.status, 403);
}

/// F22: a file that is saved faster than it is read ends in its last content.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_many_saves_holds() {
    let (world, canary) = world(&deny(&[])).await;
    let authority = format!("canary.test:{}", canary.port());
    let path = world.config_path();
    let saving = tokio::task::spawn_blocking(move || {
        // Far faster than a look at the file takes.
        for number in 0..1000 {
            let draft = path.with_extension("draft");
            std::fs::write(&draft, deny(&[&format!("h{number}.test")])).unwrap();
            std::fs::rename(&draft, &path).unwrap();
        }
        std::fs::write(&path, deny(&[&authority])).unwrap();
        authority
    });
    let authority = saving.await.unwrap();
    soon("the last policy", async {
        while world.try_get(&authority, "/").await != Some(200) {}
    })
    .await;
    assert_eq!(proxy::admin::status(&world.admin()).unwrap().degraded, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_policy_would_refuse_is_closed() {
    use crate::support::Reply;
    let canary = Canary::http(|_| {
        Reply::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nsome".to_vec())
    })
    .await;
    let authority = format!("canary.test:{}", canary.port());
    let world = World::new(&config("deny", &[&authority], &[], &[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    // A bypassed tunnel, and a plain answer still on its way.
    let mut tunnel = world.connect(&authority).await.unwrap();
    tunnel.send(b"raw bytes\r\n\r\n").await;
    let mut plain = crate::support::Tunnel {
        io: crate::support::client::connect(world.address).await,
    };
    plain
        .send(format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes())
        .await;
    canary
        .until("both to arrive", |seen| seen.requests.len() == 2)
        .await;

    let cut = std::time::Instant::now();
    world.set(&config("deny", &["other.test"], &[], &[]));
    tunnel.rest().await;
    plain.rest().await;
    assert!(cut.elapsed().as_millis() < 1000, "{:?}", cut.elapsed());
    canary.until("both to end", |seen| seen.ended == 2).await;
    world
        .event("the tunnel's line", |event| {
            event.method == "CONNECT" && event.reason.as_deref() == Some("revoked")
        })
        .await;
    world
        .event("the request's line", |event| {
            event.method == "GET" && event.reason.as_deref() == Some("revoked")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_policy_there_is_no_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("proxy-config.json");
    for content in [None, Some(""), Some("{"), Some(r#"{"policy":"maybe"}"#)] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let options = proxy::Options::new("s", &path, dir.path().join("ca"));
        assert!(proxy::Proxy::start(options).await.is_err(), "{content:?}");
    }
}
