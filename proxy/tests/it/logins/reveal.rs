//! Where sentinels become tokens, and what comes back of that.

use serde_json::{Value, json};

use super::{ACCESS, GRANT, REFRESH, base64, get_as, post, vendor, world};
use crate::language::{CONFIG, write};
use crate::support::Reply;

/// A sentinel in a body becomes a token in an exchange only, and there as the whole of what an exchange asks for.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_reveals_a_token_to_an_exchange_only() {
    const EXCHANGE: &str = "/v1/oauth/token";
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    // The control: what is said, and whether the token arrives. `S` stands for the sentinel.
    let rows = [
        (
            "POST",
            EXCHANGE,
            JSON,
            r#"{"a":1,"refresh_token":"S"}"#,
            true,
        ),
        (
            "POST",
            EXCHANGE,
            "Application/JSON; charset=utf-8",
            r#"{"refresh_token":"S"}"#,
            true,
        ),
        ("POST", EXCHANGE, FORM, "refresh_token=S&scope=a+b", true),
        ("POST", EXCHANGE, FORM, "a=%2F&subject_token=S", true),
        ("POST", EXCHANGE, FORM, "token=S", true),
        // Elsewhere on the same host.
        (
            "POST",
            "/x/token/git-receive-pack",
            JSON,
            r#"{"refresh_token":"S"}"#,
            false,
        ),
        (
            "POST",
            "/x/token/git-receive-pack",
            "application/x-git-receive-pack-request",
            "refs/heads/S",
            false,
        ),
        (
            "POST",
            "/v1/token/../messages",
            JSON,
            r#"{"refresh_token":"S"}"#,
            false,
        ),
        (
            "POST",
            "/v1/oauth/token/../../messages",
            FORM,
            "refresh_token=S",
            false,
        ),
        ("POST", "/v1/oauth//token", FORM, "refresh_token=S", false),
        ("POST", "/v1/oauth/%74oken", FORM, "refresh_token=S", false),
        ("POST", "/v1/oauth/token/", FORM, "refresh_token=S", false),
        ("POST", "/v1/oauth/Token", FORM, "refresh_token=S", false),
        ("POST", "/v1/oauth/token;x", FORM, "refresh_token=S", false),
        // Otherwise than an exchange is said.
        ("PUT", EXCHANGE, JSON, r#"{"refresh_token":"S"}"#, false),
        ("post", EXCHANGE, JSON, r#"{"refresh_token":"S"}"#, false),
        ("POST", EXCHANGE, "text/plain", "refresh_token=S", false),
        (
            "POST",
            EXCHANGE,
            "text/plain",
            r#"{"refresh_token":"S"}"#,
            false,
        ),
        ("POST", EXCHANGE, FORM, r#"{"refresh_token":"S"}"#, false),
        ("POST", EXCHANGE, JSON, "refresh_token=S", false),
        (
            "POST",
            EXCHANGE,
            "multipart/form-data; boundary=S",
            "--S--",
            false,
        ),
        (
            "POST",
            EXCHANGE,
            "text/plain\r\nContent-Type: application/json",
            r#"{"refresh_token":"S"}"#,
            false,
        ),
        // Not the whole of what is asked for.
        ("POST", EXCHANGE, JSON, r#"{"refresh_token":"xS"}"#, false),
        ("POST", EXCHANGE, JSON, r#"{"refresh_token":"S "}"#, false),
        ("POST", EXCHANGE, JSON, r#"{"refresh_token":["S"]}"#, false),
        (
            "POST",
            EXCHANGE,
            JSON,
            r#"{"x":{"refresh_token":"S"}}"#,
            false,
        ),
        ("POST", EXCHANGE, JSON, r#"[{"refresh_token":"S"}]"#, false),
        ("POST", EXCHANGE, FORM, "refresh_token=S%20", false),
        ("POST", EXCHANGE, FORM, "refresh_token=Sx", false),
        // Something else that is said.
        ("POST", EXCHANGE, JSON, r#"{"redirect_uri":"S"}"#, false),
        ("POST", EXCHANGE, JSON, r#"{"S":"refresh_token"}"#, false),
        (
            "POST",
            EXCHANGE,
            JSON,
            r#"{"refresh_token":"a","state":"S"}"#,
            false,
        ),
        (
            "POST",
            EXCHANGE,
            FORM,
            "redirect_uri=S&refresh_token=a",
            false,
        ),
        ("POST", EXCHANGE, FORM, "S=refresh_token", false),
        ("POST", EXCHANGE, FORM, "S", false),
    ];
    let (world, canary, authority) = world(true, vendor(super::JSON, GRANT)).await;
    let mut tunnel = world.inside(&authority).await;
    let answer = post(&mut tunnel, &authority, JSON, "{}").await;
    let grant: Value = serde_json::from_str(&answer.body).unwrap();
    let sentinel = grant["refresh_token"].as_str().unwrap();
    for (method, path, kind, body, revealed) in rows {
        let said = body.replace('S', sentinel);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{said}",
            said.len()
        );
        let mut tunnel = world.inside(&authority).await;
        tunnel.send(request.as_bytes()).await;
        let answer = tunnel.answer().await.unwrap();
        assert!(!answer.body.contains("REAL"), "{}", answer.body);
        let got = canary.requests().pop().unwrap();
        let arrived = if revealed {
            body.replace('S', REFRESH)
        } else {
            said
        };
        let row = format!("{method} {path} {kind} {body}: {got}");
        assert!(
            got.starts_with(&format!("{method} {path} HTTP/1.1\r\n")),
            "{row}"
        );
        assert!(got.ends_with(&format!("\r\n\r\n{arrived}")), "{row}");
        assert!(
            got.contains(&format!("content-length: {}\r\n", arrived.len())),
            "{row}"
        );
    }
}

/// In what says who calls, a sentinel becomes a token where it is all that is said; what is echoed of it is masked.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_reveals_a_token_for_a_whole_sentinel_only() {
    // `S` stands for the sentinel; the last of each row is what it should arrive as, with `S` for the token.
    let rows = [
        ("Authorization: token S", "authorization: token S", true),
        (
            "Authorization: BASIC <S:x-oauth-basic>",
            "authorization: Basic <S:x-oauth-basic>",
            true,
        ),
        (
            "Authorization: Basic <x:S>",
            "authorization: Basic <x:S>",
            true,
        ),
        (
            "Authorization: Bearer xS",
            "authorization: Bearer xS",
            false,
        ),
        (
            "Authorization: Bearer S,S",
            "authorization: Bearer S,S",
            false,
        ),
        (
            "Authorization: Basic <x:y:S>",
            "authorization: Basic <x:y:S>",
            false,
        ),
        (
            "Authorization: Basic <S>",
            "authorization: Basic <S>",
            false,
        ),
        ("X-Api-Key: k S S", "x-api-key: k S S", false),
        ("X-Mine: S", "x-mine: S", false),
        ("Cookie: S", "cookie: S", false),
    ];
    let (world, canary, authority) = world(true, vendor(super::JSON, GRANT)).await;
    let mut tunnel = world.inside(&authority).await;
    let answer = post(&mut tunnel, &authority, "application/json", "{}").await;
    let grant: Value = serde_json::from_str(&answer.body).unwrap();
    let sentinel = grant["access_token"].as_str().unwrap();
    // What is between `<` and `>` is encoded.
    let spelled = |field: &str, said: &str| match field.split_once('<') {
        None => field.replace('S', said),
        Some((before, rest)) => {
            let plain = rest.trim_end_matches('>').replace('S', said);
            format!("{before}{}", base64(&plain))
        }
    };
    for (said, arrives, revealed) in rows {
        // Names of fields have no `S` of their own.
        let (name, value) = said.split_once(": ").unwrap();
        let (arriving, arrived) = arrives.split_once(": ").unwrap();
        let field = format!("{name}: {}\r\n", spelled(value, sentinel));
        let answer = get_as(&mut tunnel, &authority, &field).await;
        let expected = spelled(arrived, if revealed { ACCESS } else { sentinel });
        let got = canary.requests().pop().unwrap();
        assert!(
            got.contains(&format!("{arriving}: {expected}\r\n")),
            "{said}: {got}"
        );
        assert_eq!(
            got.contains("REAL"),
            revealed && !value.contains('<'),
            "{said}: {got}"
        );
        // The echo of it.
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains("REAL"), "{said}: {}", answer.body);
        assert_eq!(
            answer.body.contains(&expected),
            !revealed,
            "{said}: {}",
            answer.body
        );
    }
}

/// What the proxy set itself is masked as well where an answer is looked through for tokens.
#[tokio::test(flavor = "multi_thread")]
async fn a_looked_through_answer_keeps_a_credential_out() {
    const SECRET: &str = "canary/secret-2f6c";
    let echo = |request: &str| {
        let (status, body) = match request.contains("json") {
            true => ("200 OK", json!({ "said": request }).to_string()),
            false => ("404 Not Found", request.to_owned()),
        };
        let length = body.len();
        Reply::Send(
            format!(
                "HTTP/1.1 {status}\r\nx-echo: {SECRET}\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    };
    let (world, canary, authority) = world(true, echo).await;
    let file = world.dir.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    // The control: without the injection the same bytes come through.
    for (clause, comes_back) in [("", true), ("x-key from file", false)] {
        let clause = match clause {
            "" => String::new(),
            clause => format!("inject {authority} {clause} {file:?}\n"),
        };
        write(&world, &canary, &format!("allow {authority}\n{clause}"));
        world.set(CONFIG);
        for path in ["/token/json", "/x/token/text", "/plain"] {
            let mut tunnel = world.inside(&authority).await;
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nX-Own: {SECRET}\r\n\r\n");
            tunnel.send(request.as_bytes()).await;
            let answer = tunnel.answer().await.unwrap();
            let got = format!("{answer:?}");
            assert!(canary.requests().pop().unwrap().contains(SECRET), "{path}");
            assert!(got.contains("x-own"), "{path}: {got}");
            assert_eq!(got.contains(SECRET), comes_back, "{path}: {got}");
            assert_eq!(got.contains("******"), !comes_back, "{path}: {got}");
        }
    }
}
