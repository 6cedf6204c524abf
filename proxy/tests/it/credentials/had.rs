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
pub(super) fn status(line: &str) -> Reply {
    Reply::Send(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into_bytes())
}

pub(super) async fn origin(
    world: &World,
    script: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> Canary {
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

pub(super) async fn ask_times(world: &World, origin: &Canary, times: usize) -> Vec<u16> {
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
pub(super) async fn impatient() -> World {
    let world = World::made(r#"{"policy":"deny"}"#, |options| {
        options.limits.credential_pause = Duration::ZERO;
    })
    .await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    world
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
