//! Logins made in the guest: the tokens of the answer stay with the proxy, and the guest's sentinels work all the same.

mod reveal;

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use futures::future::BoxFuture;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use proxy::credentials::Login;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::support::client::Answer;
use crate::support::h2::{Client, Origin, full};
use crate::support::pki::Flaw;
use crate::support::world::deny;
use crate::support::{Canary, Reply, Tunnel, World};

const ACCESS: &str = "sk-ant-oat01-REAL-ACCESS";
const REFRESH: &str = "sk-ant-ort01-REAL-REFRESH";

/// A login at `canary.test`, used there only.
fn login(port: u16) -> Login {
    let host = format!("canary.test:{port}");
    Login {
        name: "vendor".into(),
        exchanges: vec![format!("{host}/v1/oauth/token").into()],
        endpoints: vec![host.into()],
        segments: vec!["token".into()],
        hosts: Vec::new(),
        prefixes: vec!["sk-ant-oat01-".into(), "sk-ant-ort01-".into()],
    }
}

/// What a token endpoint answers, and what it says of the body, and an echo of all that was said elsewhere.
fn vendor(fields: &'static str, body: &'static str) -> impl Fn(&str) -> Reply + Send + Sync {
    move |request: &str| {
        let echo = request.to_owned();
        let (fields, body) = match request.starts_with("POST /v1/oauth/token") {
            true => (fields, body),
            false => ("content-type: text/plain\r\n", &*echo),
        };
        let length = match fields.contains("chunked") {
            true => {
                return Reply::Send(
                    format!(
                        "HTTP/1.1 200 OK\r\n{fields}\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                        body.len()
                    )
                    .into_bytes(),
                );
            }
            false => body.len(),
        };
        Reply::Send(
            format!("HTTP/1.1 200 OK\r\n{fields}content-length: {length}\r\n\r\n{body}")
                .into_bytes(),
        )
    }
}

const JSON: &str = "content-type: application/json\r\n";

const GRANT: &str = r#"{"access_token":"sk-ant-oat01-REAL-ACCESS","refresh_token":"sk-ant-ort01-REAL-REFRESH","expires_in":3600}"#;

/// A vendor, and a proxy that knows its login, or does not.
async fn world(
    known: bool,
    script: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> (World, Canary, String) {
    // The proxy is to know the origin's port, and the origin the world's authority.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = World::made(&deny(&[]), |options| {
        options.logins = if known { vec![login(port)] } else { Vec::new() };
        options.login_store = Some(options.ca_dir.clone());
    })
    .await;
    let tls = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
    let canary = Canary::https_on(listener, tls, script);
    let authority = format!("canary.test:{port}");
    world.set(&deny(&[&authority, "other.test"]));
    world.dns.points("canary.test", &["127.0.0.1"]);
    (world, canary, authority)
}

async fn post(
    tunnel: &mut Tunnel<TlsStream<TcpStream>>,
    authority: &str,
    kind: &str,
    body: &str,
) -> Answer {
    let request = format!(
        "POST /v1/oauth/token HTTP/1.1\r\nHost: {authority}\r\nContent-Type: {kind}\r\nAccept-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    tunnel.send(request.as_bytes()).await;
    tunnel.answer().await.unwrap()
}

async fn get_as(
    tunnel: &mut Tunnel<TlsStream<TcpStream>>,
    authority: &str,
    fields: &str,
) -> Answer {
    let request = format!("GET /v1/me HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n");
    tunnel.send(request.as_bytes()).await;
    tunnel.answer().await.unwrap()
}

/// The guest gets sentinels of the vendor's shape, uses them as tokens, and renews them; the control gets the tokens.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_do_not_enter_the_guest() {
    for fields in [
        JSON,
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n",
    ] {
        let (world, canary, authority) = world(true, vendor(fields, GRANT)).await;
        let mut tunnel = world.inside(&authority).await;
        let answer = post(
            &mut tunnel,
            &authority,
            "application/json",
            r#"{"code":"c"}"#,
        )
        .await;
        assert!(!answer.body.contains("REAL"), "{}", answer.body);
        let grant: Value = serde_json::from_str(&answer.body).unwrap();
        let (access, refresh) = (
            grant["access_token"].as_str().unwrap().to_owned(),
            grant["refresh_token"].as_str().unwrap().to_owned(),
        );
        assert!(
            access.starts_with("sk-ant-oat01-proxy-managed-"),
            "{access}"
        );
        assert!(
            refresh.starts_with("sk-ant-ort01-proxy-managed-"),
            "{refresh}"
        );
        assert_eq!(grant["expires_in"], 3600);
        assert!(canary.requests()[0].contains("accept-encoding: identity\r\n"));

        // As a bearer's, as an API key, and as git says it: what is echoed is masked.
        let basic = base64(&format!("x-access-token:{access}"));
        let real = base64(&format!("x-access-token:{ACCESS}"));
        for (said, arrived) in [
            (
                format!("Authorization: Bearer {access}"),
                format!("authorization: Bearer {ACCESS}"),
            ),
            (
                format!("X-Api-Key: {access}"),
                format!("x-api-key: {ACCESS}"),
            ),
            (
                format!("Authorization: Basic {basic}"),
                format!("authorization: Basic {real}"),
            ),
        ] {
            let answer = get_as(&mut tunnel, &authority, &format!("{said}\r\n")).await;
            let got = canary.requests().pop().unwrap();
            assert!(got.contains(&format!("{arrived}\r\n")), "{got}");
            assert_eq!(answer.status, 200);
            assert!(
                !answer.body.contains("REAL") && !answer.body.contains(&real),
                "{}",
                answer.body
            );
        }

        // Renewed, by JSON and by a form.
        let as_json = json!({"grant_type": "refresh_token", "refresh_token": refresh}).to_string();
        let as_form = format!("grant_type=refresh_token&refresh_token={refresh}");
        for (kind, body) in [
            ("application/json", as_json),
            ("application/x-www-form-urlencoded", as_form),
        ] {
            let answer = post(&mut tunnel, &authority, kind, &body).await;
            let got = canary.requests().pop().unwrap();
            assert!(got.ends_with(&body.replace(&refresh, REFRESH)), "{got}");
            assert!(!answer.body.contains("REAL"), "{}", answer.body);
        }
        let stored = world.dir.path().join("ca/login-vendor.json");
        assert_eq!(std::fs::metadata(&stored).unwrap().mode() & 0o777, 0o600);
        let event = world
            .event("the line", |event| event.credential.is_some())
            .await;
        assert_eq!(event.credential.as_deref(), Some("vendor login"));
        let log = std::fs::read_to_string(world.dir.path().join("network.jsonl")).unwrap();
        assert!(!log.contains("REAL"), "{log}");
    }
    let (world, _canary, authority) = world(false, vendor(JSON, GRANT)).await;
    let mut tunnel = world.inside(&authority).await;
    let answer = post(&mut tunnel, &authority, "application/json", "{}").await;
    assert_eq!(answer.body, GRANT, "the control");
}

/// Over HTTP/2, a proxy of the same tokens later on: the store knows them, and nobody else's sentinel works.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_outlive_the_proxy_and_belong_to_one_login() {
    let store = tempfile::tempdir().unwrap();
    let mut access = String::new();
    for round in ["first", "second", "another"] {
        let kept = store.path().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = World::made(&deny(&[&format!("canary.test:{port}")]), |options| {
            options.logins = vec![Login {
                name: if round == "another" {
                    "other".into()
                } else {
                    "vendor".into()
                },
                ..login(port)
            }];
            options.login_store = Some(kept);
        })
        .await;
        world.dns.points("canary.test", &["127.0.0.1"]);
        let tls = world.pki.server("canary.test", Flaw::None, &[b"h2"]);
        let handler = |request: Request<Incoming>| {
            let mut response = http::Response::new(full(GRANT));
            let said = request.headers().get("authorization").cloned();
            if let Some(said) = said {
                *response.body_mut() = full(match said.as_bytes().ends_with(b"REAL-ACCESS") {
                    true => "known",
                    false => "unknown",
                });
            }
            Box::pin(std::future::ready(response)) as BoxFuture<'static, _>
        };
        let _origin = Origin::on(listener, tls, Arc::new(handler));
        let client = Client::connect(&world, &format!("canary.test:{port}"), &[b"h2"]).await;
        if round == "first" {
            let body = Full::new(bytes::Bytes::from_static(b"{}")).boxed();
            let request = client
                .request("/v1/oauth/token")
                .method("POST")
                .body(body)
                .unwrap();
            let answer = client.send(request).await.unwrap();
            let answer = answer.into_body().collect().await.unwrap().to_bytes();
            let grant: Value = serde_json::from_slice(&answer).unwrap();
            access = grant["access_token"].as_str().unwrap().to_owned();
            assert!(
                access.starts_with("sk-ant-oat01-proxy-managed-"),
                "{access}"
            );
        }
        let request = client
            .request("/v1/me")
            .header("authorization", format!("Bearer {access}"))
            .body(full(""))
            .unwrap();
        let answer = client.send(request).await.unwrap();
        let answer = answer.into_body().collect().await.unwrap().to_bytes();
        let expected = if round == "another" {
            "unknown"
        } else {
            "known"
        };
        assert_eq!(answer, expected, "{round}");
    }
}

/// What cannot be looked through is not handed on.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_through_stays_out() {
    let long: &'static str =
        Box::leak(format!(r#"{{"x":"{}"}}"#, "y".repeat(300_000)).into_boxed_str());
    let rows: [(&'static str, &'static str, u16); 6] = [
        (
            "content-type: application/json\r\ncontent-encoding: gzip\r\n",
            GRANT,
            502,
        ),
        (
            "content-type: text/html\r\n",
            "<p>sk-ant-oat01-REAL-ACCESS</p>",
            502,
        ),
        (JSON, r#"{"access_token":"sk-ant-oat01-REAL"#, 502),
        (JSON, r#"{"access_token":"with a space REAL"}"#, 502),
        (JSON, long, 502),
        (JSON, r#"{"error":"authorization_pending"}"#, 200),
    ];
    for (fields, body, expected) in rows {
        let (world, _canary, authority) = world(true, vendor(fields, body)).await;
        let mut tunnel = world.inside(&authority).await;
        let answer = post(&mut tunnel, &authority, "application/json", "{}").await;
        assert_eq!(answer.status, expected, "{fields} {}", answer.body);
        assert!(!answer.body.contains("REAL"), "{}", answer.body);
        // And a request that is too long to be looked through does not leave.
        if expected == 200 {
            let before = world.events().len();
            let big = "x".repeat(70_000);
            let answer = post(&mut tunnel, &authority, "application/json", &big).await;
            assert_eq!(
                (answer.status, answer.reason()),
                (502, "credential"),
                "{before}"
            );
        }
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
