//! Who is told a password, and when a token is asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex as Lock};

use super::super::super::digest::Digest;
use super::*;

/// `me:secret`, as HTTP writes it.
const PASSWORD: &str = "Basic bWU6c2VjcmV0";

/// Request targets with what they showed of themselves.
type Heard = Arc<Lock<Vec<(String, String)>>>;

/// Answers each request on a connection of its own with what `answer` makes of the server's address, the request's target
/// and its authorization: a status with header fields, and a body.
fn serve(
    answer: impl Fn(SocketAddr, &str, &str) -> (String, String) + Send + 'static,
) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Heard::default();
    let hears = Arc::clone(&heard);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (target, shown) = request(&client);
            let (head, body) = answer(address, &target, &shown);
            hears.lock().unwrap().push((target, shown));
            let length = body.len();
            let text = format!(
                "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            let _ = (&client).write_all(text.as_bytes());
        }
    });
    (address, heard)
}

fn request(client: &TcpStream) -> (String, String) {
    let (mut target, mut shown) = (String::new(), String::new());
    for line in BufReader::new(client).lines() {
        let line = line.unwrap();
        if line.is_empty() {
            break;
        }
        if target.is_empty() {
            target = line.split(' ').nth(1).unwrap().to_owned();
        }
        let (name, value) = line.split_once(": ").unwrap_or_default();
        if name.eq_ignore_ascii_case("authorization") {
            shown = value.to_owned();
        }
    }
    (target, shown)
}

fn ok(body: &str) -> (String, String) {
    ("200 OK".to_owned(), body.to_owned())
}

fn refused(challenge: &str) -> (String, String) {
    let head = format!("401 Unauthorized\r\nWWW-Authenticate: {challenge}");
    (head, String::new())
}

fn reference(address: SocketAddr) -> Reference {
    format!("{address}/team/image:1").parse().unwrap()
}

fn password() -> RegistryAuth {
    RegistryAuth::Basic("me".to_owned(), "secret".to_owned())
}

/// What was asked for, in order, with what was shown.
fn told(heard: &Heard) -> Vec<(String, String)> {
    heard.lock().unwrap().clone()
}

fn row(target: &str, shown: &str) -> (String, String) {
    (target.to_owned(), shown.to_owned())
}

const MANIFEST: &str = "/v2/team/image/manifests/1";
const TOKEN: &str = "/token?scope=repository%3Ateam%2Fimage%3Apull&service=some+service";

#[tokio::test]
async fn a_token_is_asked_for_once_and_again_when_it_is_stale() {
    // Either name is allowed; the first token is good for two requests.
    let tokens = Lock::new(vec![
        r#"{"access_token":"two"}"#,
        r#"{"token":"one","x":1}"#,
    ]);
    let left = Lock::new(2);
    let (address, heard) = serve(move |address, target, shown| {
        let mut left = left.lock().unwrap();
        match (target, shown) {
            (TOKEN, PASSWORD) => ok(tokens.lock().unwrap().pop().unwrap()),
            (_, "Bearer two") => ok("{}"),
            (_, "Bearer one") if *left > 0 => {
                *left -= 1;
                ok("{}")
            }
            _ => refused(&format!(
                "Basic realm=\"x\", Bearer realm=\"http://{address}/token\",service=\"some service\""
            )),
        }
    });
    let reference = reference(address);
    let http = Http::new(&reference, password()).unwrap();
    for _ in 0..3 {
        assert_eq!(http.manifest("1", &["form"]).await.unwrap(), b"{}");
    }
    let wanted = [
        row(MANIFEST, ""),
        row(TOKEN, PASSWORD),
        row(MANIFEST, "Bearer one"),
        row(MANIFEST, "Bearer one"),
        row(MANIFEST, "Bearer one"),
        row(TOKEN, PASSWORD),
        row(MANIFEST, "Bearer two"),
    ];
    assert_eq!(told(&heard), wanted);
}

#[tokio::test]
async fn a_password_is_for_the_registry_alone() {
    let (elsewhere, heard) = serve(|_, _, _| refused("Basic realm=\"x\""));
    let (address, _) = serve(move |_, _, _| {
        let head = format!("307 Temporary Redirect\r\nLocation: http://{elsewhere}/blob");
        (head, String::new())
    });
    let reference = reference(address);
    let http = Http::new(&reference, password()).unwrap();
    let error = http.manifest("1", &["form"]).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert_eq!(told(&heard), [row("/blob", "")]);
}

/// A registry may say where its tokens are. On another machine, that is told no password over plain HTTP.
#[tokio::test]
async fn a_password_does_not_cross_the_network_in_the_clear() {
    for (registry, is_told) in [("registry.example", false), ("localhost:1", true)] {
        let (address, heard) = serve(|_, _, _| ok(r#"{"token":"one"}"#));
        let reference = format!("{registry}/team/image:1").parse().unwrap();
        let http = Http::new(&reference, password()).unwrap();
        let challenge = format!("Bearer realm=\"http://{address}/token\"");
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, challenge.parse().unwrap())]);
        assert_eq!(http.prove(&headers).await.is_ok(), is_told);
        let told = told(&heard);
        assert_eq!(told.iter().any(|(_, shown)| shown == PASSWORD), is_told);
        assert_eq!(told.is_empty(), !is_told);
    }
}

#[tokio::test]
async fn what_is_no_token_is_said_so() {
    for token in ["", "{}", "[]", r#"{"token":1}"#, r#"{"token":"a\nb"}"#] {
        let (address, _) = serve(move |address, target, _| match target {
            MANIFEST => refused(&format!("Bearer realm=\"http://{address}/token\"")),
            _ => ok(token),
        });
        let reference = reference(address);
        let http = Http::new(&reference, RegistryAuth::Anonymous).unwrap();
        let error = http.manifest("1", &["form"]).await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{token}: {error}");
    }
}

#[tokio::test]
async fn a_manifest_is_what_was_asked_for_and_what_the_registry_says() {
    let said = Digest::of(b"{}").to_string();
    let other = Digest::of(b"[]").to_string();
    for (name, header, right) in [
        (&said, &said, true),
        (&other, &said, false),
        (&said, &other, false),
    ] {
        let head = format!("200 OK\r\nDocker-Content-Digest: {header}");
        let (address, _) = serve(move |_, _, _| (head.clone(), "{}".to_owned()));
        let reference = reference(address);
        let http = Http::new(&reference, RegistryAuth::Anonymous).unwrap();
        let manifest = http.manifest(name, &["form"]).await;
        assert_eq!(manifest.is_ok(), right, "{name} {header}");
    }
}
