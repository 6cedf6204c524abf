//! HTTP/2 inside interception: mirrored, judged stream by stream, bridged.

use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};

use crate::support::h2::{Body, Client, Origin, full, piped};
use crate::support::pki::Flaw;
use crate::support::world::deny;
use crate::support::{Canary, Reply, World, soon};

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

async fn world(
    alpn: &[&[u8]],
    handler: impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
) -> (World, Origin, String) {
    let world = World::new(&deny(&[])).await;
    let origin = Origin::start(world.pki.server("canary.test", Flaw::None, alpn), handler).await;
    let authority = format!("canary.test:{}", origin.address.port());
    world.set(&deny(&[&authority]));
    world.dns.points("canary.test", &["127.0.0.1"]);
    (world, origin, authority)
}

fn hello(_: Request<Incoming>) -> Response<Body> {
    Response::new(full("hello"))
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_share_a_connection_to_the_origin() {
    let (world, origin, authority) = world(BOTH, hello).await;
    let client = Client::connect(&world, &authority, BOTH).await;
    let second = Client::connect(&world, &authority, BOTH).await;
    for path in ["/1", "/2", "/3"] {
        let (a, b) = tokio::join!(client.get(path), second.get(path));
        assert_eq!((a, b), ((200, "hello".into()), (200, "hello".into())));
    }
    assert_eq!(origin.connections(), 1);
    let requests = origin.requests.lock().unwrap().clone();
    assert!(
        requests
            .iter()
            .all(|(version, host, ..)| *version == Version::HTTP_2 && *host == authority)
    );
    assert_eq!(world.events().len(), 6, "one line for each stream");
}

/// The client is offered what the origin speaks.
#[tokio::test(flavor = "multi_thread")]
async fn protocols_are_mirrored() {
    type Alpn = &'static [&'static [u8]];
    let rows: &[(Alpn, Alpn, Option<&[u8]>)] = &[
        (BOTH, BOTH, Some(b"h2")),
        (&[b"http/1.1"], BOTH, Some(b"http/1.1")),
        (BOTH, &[b"http/1.1"], Some(b"http/1.1")),
        (&[], BOTH, Some(b"http/1.1")),
        (BOTH, &[], None),
    ];
    for (origin, client, expected) in rows {
        let (world, _origin, authority) = world(origin, hello).await;
        let config = crate::support::client::client_config(&world.ca(), client);
        let tunnel = world
            .connect(&authority)
            .await
            .unwrap()
            .tls_with(config, "canary.test")
            .await
            .unwrap();
        assert_eq!(
            tunnel.io.get_ref().1.alpn_protocol(),
            *expected,
            "{origin:?} {client:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_insists_on_h2_is_bridged() {
    let (world, origin, authority) = world(&[b"http/1.1"], |request| {
        assert_eq!(request.headers()["cookie"], "a=1; b=2");
        assert!(!request.headers().contains_key("te"));
        hello(request)
    })
    .await;
    let client = Client::connect(&world, &authority, &[b"h2"]).await;
    let request = client
        .request("/x")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers");
    let response = client
        .send(request.body(full("body")).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let (version, host, path, _) = origin.requests.lock().unwrap().remove(0);
    assert_eq!(
        (version, host, path.as_str()),
        (Version::HTTP_11, authority, "/x")
    );
}

/// D4: every stream, not only the first.
#[tokio::test(flavor = "multi_thread")]
async fn every_stream_is_judged() {
    let (world, origin, authority) = world(BOTH, hello).await;
    let client = Client::connect(&world, &authority, BOTH).await;
    assert_eq!(client.get("/1").await.0, 200);
    let evil = |uri: &str| Request::get(uri).body(Empty::new().boxed()).unwrap();
    let rows = [
        (evil("https://evil.test/"), 421),
        (evil(&format!("http://{authority}/")), 421),
        (
            Request::get(format!("https://{authority}/"))
                .header("host", "evil.test")
                .body(Empty::new().boxed())
                .unwrap(),
            421,
        ),
        (
            Request::builder()
                .method(Method::CONNECT)
                .uri("evil.test:443")
                .body(Empty::new().boxed())
                .unwrap(),
            421,
        ),
        (
            Request::builder()
                .method(Method::CONNECT)
                .uri(&authority)
                .body(Empty::new().boxed())
                .unwrap(),
            405,
        ),
        (
            client
                .request("/")
                .method(Method::TRACE)
                .body(Empty::new().boxed())
                .unwrap(),
            405,
        ),
    ];
    for (request, status) in rows {
        let shown = format!("{} {}", request.method(), request.uri());
        let response = client.send(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{shown}");
        assert!(response.headers().contains_key("x-sandbox-reason"));
        assert_eq!(client.get("/still").await.0, 200, "the other streams go on");
    }
    let requests = origin.requests.lock().unwrap().clone();
    assert!(
        requests
            .iter()
            .all(|(_, host, path, _)| *host == authority && path != "/")
    );
}

/// gRPC: a stream both ways, metadata, and a status in the trailers.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_passes() {
    let (world, _origin, authority) = world(BOTH, |request| {
        assert_eq!(request.headers()["te"], "trailers");
        // Echoes each message as it comes, then the status.
        let mut status = http::HeaderMap::new();
        status.insert("grpc-status", "0".parse().unwrap());
        status.insert("custom-bin", "AA".parse().unwrap());
        status.insert("set-cookie", "evil".parse().unwrap());
        let mut body = request.into_body();
        let mut status = Some(status);
        let echo = futures::stream::poll_fn(move |cx| {
            let frame = std::task::ready!(hyper::body::Body::poll_frame(
                std::pin::Pin::new(&mut body),
                cx
            ));
            std::task::Poll::Ready(match frame {
                Some(frame) => Some(Ok::<_, std::convert::Infallible>(frame.unwrap())),
                None => status.take().map(|status| Ok(Frame::trailers(status))),
            })
        });
        let mut response = Response::new(StreamBody::new(echo).boxed());
        response
            .headers_mut()
            .insert("content-type", "application/grpc".parse().unwrap());
        response
    })
    .await;
    let client = Client::connect(&world, &authority, BOTH).await;
    let (messages, body) = piped();
    let request = client
        .request("/pkg.Service/Method")
        .method(Method::POST)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let response = client.send(request.body(body).unwrap()).await.unwrap();
    let mut body = response.into_body();
    for message in ["one", "two", "three"] {
        messages
            .send(Frame::data(Bytes::from(message)))
            .await
            .unwrap();
        let frame = soon("the echo", body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message);
    }
    drop(messages);
    let trailers = soon("the trailers", body.frame())
        .await
        .unwrap()
        .unwrap()
        .into_trailers()
        .unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["custom-bin"], "AA");
    assert!(!trailers.contains_key("set-cookie"));
    let event = world
        .event("the line", |event| event.method == "POST")
        .await;
    assert_eq!(
        (event.bytes_up, event.bytes_down, event.reason),
        (11, 11, None)
    );
}

/// A refusal in the words of the asker.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_speak_grpc_and_json() {
    let (world, _origin, authority) = world(BOTH, hello).await;
    let client = Client::connect(&world, &authority, BOTH).await;
    let ask = |name: &'static str, value: &'static str| {
        Request::post("https://evil.test/")
            .header(name, value)
            .body(Empty::new().boxed())
            .unwrap()
    };
    let grpc = client
        .send(ask("content-type", "application/grpc+proto"))
        .await
        .unwrap();
    assert_eq!(
        (
            grpc.status().as_u16(),
            grpc.headers()["grpc-status"].to_str().unwrap()
        ),
        (200, "14")
    );
    assert_eq!(grpc.headers()["x-sandbox-reason"], "misdirected");
    let json = client
        .send(ask("accept", "application/json"))
        .await
        .unwrap();
    assert_eq!(json.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value =
        serde_json::from_slice(&json.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(
        (
            &problem["status"],
            &problem["reason"],
            &problem["retryable"]
        ),
        (&421.into(), &"misdirected".into(), &false.into())
    );
}

/// F1 over HTTP/2: an answer cut short is a reset stream, never a complete body.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_answer_is_a_reset_stream() {
    let rows: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome",
    ];
    for answer in rows {
        let world = World::new(&deny(&[])).await;
        let config = world.pki.server("canary.test", Flaw::None, &[b"http/1.1"]);
        let origin = Canary::https(config, |_| Reply::SendAndClose(answer.to_vec())).await;
        let authority = format!("canary.test:{}", origin.port());
        world.set(&deny(&[&authority]));
        world.dns.points("canary.test", &["127.0.0.1"]);
        let client = Client::connect(&world, &authority, &[b"h2"]).await;
        let request = client.request("/").body(Empty::new().boxed()).unwrap();
        // The reset may overtake the head; what must not come is a whole body.
        if let Ok(response) = client.send(request).await {
            assert_eq!(response.status(), 200);
            let body = soon("the end", response.into_body().collect()).await;
            assert!(body.is_err());
        }
        world
            .event("the line", |event| {
                event.reason.as_deref() == Some("origin-closed")
            })
            .await;
    }
}
