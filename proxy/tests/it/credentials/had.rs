//! Secrets that somebody has to be asked for: a program, a token endpoint.

use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use super::ask;
use crate::language::{CONFIG, world, write};
use crate::support::origin::ok;
use crate::support::pki::Flaw;
use crate::support::{Canary, Reply, World};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n";

/// An answer without a body.
fn status(line: &str) -> Reply {
    Reply::Send(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into_bytes())
}

async fn origin(world: &World, script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Canary {
    let config = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    Canary::https(config, script).await
}

/// A token endpoint at `token.test`.
async fn endpoint(world: &World, script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Canary {
    let config = world.pki.server("token.test", Flaw::None, &[b"http/1.1"]);
    world.dns.points("token.test", &["127.0.0.1"]);
    Canary::https(config, script).await
}

fn grant(endpoint: &Canary) -> String {
    format!(
        r#"{{"token_endpoint":"https://token.test:{}/oauth/token","refresh_token":"refresh/1","client_id":"me","note":"kept"}}"#,
        endpoint.port()
    )
}

/// A policy with an access token for the grant in `file`, where its endpoint is allowed.
fn policy(file: &Path, endpoint: &Canary) -> String {
    format!(
        "allow canary.test:PORT\ninject canary.test:PORT authorization from oauth {file:?} as \"Bearer %s\"\nallow token.test:{}\n",
        endpoint.port()
    )
}

async fn ask_times(world: &World, origin: &Canary, times: usize) -> Vec<u16> {
    let authority = format!("canary.test:{}", origin.port());
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(ask(world, &authority, REQUEST).await.0);
    }
    statuses
}

/// However often an origin refuses it, and however often it cannot be had: within a while nobody is asked for it again.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_at_every_request() {
    // What the program does after it has counted itself, and what becomes of the requests.
    for (program, expected) in [("echo key", 401), ("exit 1", 502)] {
        let (world, _, _) = world("").await;
        let origin = origin(&world, |_| status("401 No")).await;
        let count = world.dir.path().join("count");
        let clause = format!(
            "x-key from command \"echo >> {}; {program}\"",
            count.display()
        );
        let policy = format!("allow canary.test:PORT\ninject canary.test:PORT {clause}\n");
        write(&world, &origin, &policy);
        world.set(CONFIG);
        assert_eq!(
            ask_times(&world, &origin, 6).await,
            [expected; 6],
            "{program}"
        );
        assert_eq!(std::fs::read(&count).unwrap(), b"\n", "{program}");
    }
    // What the endpoint answers.
    let rows = [
        ("200 OK", r#"{"access_token":"access-token-1"}"#, 401),
        ("200 OK", r#"{"error":"slow_down"}"#, 502),
        ("400 No", "", 502),
    ];
    for (line, body, expected) in rows {
        let (world, _, _) = world("").await;
        let origin = origin(&world, |_| status("401 No")).await;
        let answer = format!(
            "HTTP/1.1 {line}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let endpoint = endpoint(&world, move |_| Reply::Send(answer.clone().into_bytes())).await;
        let file = world.dir.path().join("oauth.json");
        std::fs::write(&file, grant(&endpoint)).unwrap();
        write(&world, &origin, &policy(&file, &endpoint));
        world.set(CONFIG);
        assert_eq!(
            ask_times(&world, &origin, 6).await,
            [expected; 6],
            "{line} {body}"
        );
        assert_eq!(endpoint.requests().len(), 1, "{line} {body}");
    }
}

/// A token that is said to be good for ever is used, and kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_good_for_ever() {
    let (world, origin, _) = world("").await;
    let endpoint = endpoint(&world, |_| {
        ok(r#"{"access_token":"access-token-1","expires_in":18446744073709551615}"#)
    })
    .await;
    let file = world.dir.path().join("oauth.json");
    std::fs::write(&file, grant(&endpoint)).unwrap();
    write(&world, &origin, &policy(&file, &endpoint));
    world.set(CONFIG);
    assert_eq!(ask_times(&world, &origin, 2).await, [200; 2]);
    assert_eq!(endpoint.requests().len(), 1);
}

/// Where the renewed refresh token cannot be kept, the access token is used all the same, and the log says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_used_whose_successor_cannot_be_kept() {
    let (world, origin, _) = world("").await;
    let endpoint = endpoint(&world, |_| {
        ok(r#"{"access_token":"access-token-1","refresh_token":"refresh/2"}"#)
    })
    .await;
    let held = world.dir.path().join("oauth.json");
    std::fs::write(&held, grant(&endpoint)).unwrap();
    // A file that is read where nothing can be made beside it, by nobody.
    let held = std::fs::File::open(&held).unwrap();
    let file = format!("/proc/self/fd/{}", held.as_raw_fd());
    write(&world, &origin, &policy(Path::new(&file), &endpoint));
    world.set(CONFIG);
    assert_eq!(ask_times(&world, &origin, 2).await, [200; 2]);
    assert_eq!(endpoint.requests().len(), 1);
    let event = world
        .event("the line", |event| event.url.ends_with("/oauth/token"))
        .await;
    let message = event.message.unwrap_or_default();
    assert!(message.contains("cannot be kept"), "{message}");
    assert!(!message.contains("refresh/2"), "{message}");
}

/// A world that asks again as soon as an origin refuses.
async fn impatient() -> World {
    let world = World::made(r#"{"policy":"deny"}"#, |options| {
        options.limits.credential_pause = Duration::ZERO;
    })
    .await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    world
}

/// What a command printed is used again until an origin refuses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_is_had_anew() {
    let world = impatient().await;
    let origin = origin(&world, |request| match request.contains("x-key: 1\r\n") {
        true => status("401 No"),
        false => ok("hello"),
    })
    .await;
    let count = world.dir.path().join("count");
    let policy = format!(
        "allow canary.test:PORT\ninject canary.test:PORT x-key from command \"echo >> {0}; wc -l < {0}\"\n",
        count.display()
    );
    write(&world, &origin, &policy);
    world.set(CONFIG);
    assert_eq!(ask_times(&world, &origin, 3).await, [401, 200, 200]);
    assert!(origin.requests()[2].contains("x-key: 2\r\n"));
}

/// A refresh token that cannot be kept serves from memory, until somebody puts another into the file.
#[tokio::test(flavor = "multi_thread")]
async fn an_unkept_refresh_token_serves_all_the_same() {
    let world = impatient().await;
    let origin = origin(&world, |_| status("401 No")).await;
    let endpoint = endpoint(&world, |request| {
        let (_, said) = request.split_once("refresh_token=refresh%2F").unwrap();
        let number: u32 = said.split('&').next().unwrap().parse().unwrap();
        let next = number + 1;
        ok(&format!(
            r#"{{"access_token":"access-token-{number}","refresh_token":"refresh/{next}"}}"#
        ))
    })
    .await;
    let text = grant(&endpoint);
    let path = world.dir.path().join("oauth.json");
    std::fs::write(&path, &text).unwrap();
    let held = std::fs::File::open(&path).unwrap();
    let file = format!("/proc/self/fd/{}", held.as_raw_fd());
    write(&world, &origin, &policy(Path::new(&file), &endpoint));
    world.set(CONFIG);
    for (in_file, said) in [(1, 1), (1, 2), (1, 3), (7, 7), (7, 8)] {
        std::fs::write(
            &path,
            text.replace("refresh/1", &format!("refresh/{in_file}")),
        )
        .unwrap();
        assert_eq!(ask_times(&world, &origin, 1).await, [401]);
        let asked = endpoint.requests().pop().unwrap();
        assert!(
            asked.contains(&format!("refresh_token=refresh%2F{said}&")),
            "{asked}"
        );
    }
}

/// The refresh token stays on the host, the access token goes to the API only, and a renewed refresh token is kept.
#[tokio::test(flavor = "multi_thread")]
async fn oauth_tokens_are_fetched_by_the_proxy() {
    let (world, api, authority) = world("").await;
    let config = world.pki.server("token.test", Flaw::None, &[b"http/1.1"]);
    world.dns.points("token.test", &["127.0.0.1"]);
    let endpoint = Canary::https(config, |request| match request.contains("refresh_token=refresh%2F1") {
        true => ok(r#"{"access_token":"access-token-1","expires_in":3600,"refresh_token":"refresh/2"}"#),
        false => Reply::Send(b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n".to_vec()),
    })
    .await;
    let file = world.dir.path().join("oauth.json");
    let grant = format!(
        r#"{{"token_endpoint":"https://token.test:{}/oauth/token","refresh_token":"refresh/1","client_id":"me","note":"kept"}}"#,
        endpoint.port()
    );
    std::fs::write(&file, grant).unwrap();
    let inject = format!(
        "allow canary.test:PORT\ninject canary.test:PORT authorization from oauth \"{}\" as \"Bearer %s\"\n",
        file.display()
    );
    write(&world, &api, &inject);
    world.set(CONFIG);
    let request = "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n";
    // The endpoint is judged like every other host.
    let (status, reason, body) = ask(&world, &authority, request).await;
    assert_eq!((status, reason.as_str()), (502, "credential"), "{body}");
    assert_eq!((api.requests().len(), endpoint.seen().connections), (0, 0));

    write(
        &world,
        &api,
        &format!("{inject}allow token.test:{}\n", endpoint.port()),
    );
    world.set(CONFIG);
    for _ in 0..2 {
        let (status, _, body) = ask(&world, &authority, request).await;
        assert_eq!(status, 200, "{body}");
    }
    for sent in api.requests() {
        assert!(
            sent.contains("authorization: Bearer access-token-1\r\n"),
            "{sent}"
        );
    }
    let asked = endpoint.requests();
    assert_eq!(asked.len(), 1, "one exchange for both requests");
    assert!(
        asked[0].starts_with("POST /oauth/token HTTP/1.1\r\n")
            && asked[0].ends_with(
                "\r\n\r\ngrant_type=refresh_token&refresh_token=refresh%2F1&client_id=me"
            ),
        "{}",
        asked[0]
    );
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        (&kept["refresh_token"], &kept["note"]),
        (&"refresh/2".into(), &"kept".into())
    );
    let log = std::fs::read_to_string(world.dir.path().join("network.jsonl")).unwrap();
    assert!(
        log.contains("/oauth/token")
            && !log.contains("access-token-1")
            && !log.contains("refresh/")
    );
}
