//! Every byte of some requests is spoiled in every way that has ever fooled a reader, and what is still accepted is
//! accepted alike by hyper's server, however the bytes arrive.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf, join, sink};

use super::body::ClientBody;
use super::conn::Conn;
use super::link::Link;
use crate::http1::spoiled::spoiled;
use crate::options::Limits;

/// Requests with all that a head and a body can have, one behind the other.
const SEEDS: [&[u8]; 4] = [
    b"GET /a HTTP/1.1\r\nHost: a\r\nX: y z\r\n\r\nGET /b?c HTTP/1.1\r\nhost: b\r\n\r\n",
    b"POST http://a/ HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\nhello, worldGET / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0a\r\n0123456789\r\n0\r\nt: u\r\n\r\n",
    b"OPTIONS * HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\ncookie: a\r\ncookie: b\r\n\r\n",
];

/// A request as it was read, up to the end of its body.
#[derive(Debug, PartialEq)]
struct Read {
    method: Method,
    uri: String,
    version: Version,
    fields: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

/// None if its body does not end as it should.
async fn read<B: Body<Data = Bytes>>(request: Request<B>) -> Option<Read> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.ok()?;
    Some(Read {
        method: parts.method,
        uri: parts.uri.to_string(),
        version: parts.version,
        fields: parts.headers,
        trailers: body.trailers().cloned(),
        body: body.to_bytes(),
    })
}

/// What the proxy reads in `bytes`, which come in pieces of `size` and then end; and whether it refused something.
async fn ours(bytes: &[u8], size: usize, limits: &Arc<Limits>) -> (Vec<Read>, bool) {
    let pieces = Pieces(Bytes::copy_from_slice(bytes), size);
    let link = Link::new(Conn::new(join(pieces, sink()), limits.clone()));
    let mut all = Vec::new();
    while let Some(asking) = link.head().await {
        let Ok(head) = asking.head else {
            return (all, true);
        };
        let body = link.begin(head.body, head.expects());
        let mut request = Request::new(body.map_or(ClientBody::None, ClientBody::Http1));
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.version_mut() = head.version;
        *request.headers_mut() = head.fields;
        match read(request).await {
            Some(read) => all.push(read),
            None => return (all, true),
        }
        if !head.persists || !link.end_body().await {
            break;
        }
        link.again();
    }
    (all, false)
}

/// What hyper reads.
async fn theirs(bytes: &[u8]) -> Vec<Read> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn(|request| {
        let all = all.clone();
        async move {
            if let Some(read) = read(request).await {
                all.lock().unwrap().push(read);
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let pieces = Pieces(Bytes::copy_from_slice(bytes), bytes.len());
    let served = http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(join(pieces, sink())), service);
    let _ = served.await;
    Arc::into_inner(all).unwrap().into_inner().unwrap()
}

/// Comes in pieces.
struct Pieces(Bytes, usize);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let count = self.0.len().min(self.1).min(to.remaining());
        to.put_slice(&self.0.split_to(count));
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_is_accepted_has_one_meaning() {
    let limits = Arc::new(Limits::default());
    let (mut accepted, mut refused) = (0, 0);
    for seed in SEEDS {
        assert!(!ours(seed, seed.len(), &limits).await.1);
        for bytes in spoiled(seed) {
            let shown = bytes.escape_ascii();
            let (read, broken) = ours(&bytes, bytes.len(), &limits).await;
            for size in [1, 7] {
                let again = ours(&bytes, size, &limits).await;
                assert_eq!((&again.0, again.1), (&read, broken), "{size}: {shown}");
            }
            refused += usize::from(broken);
            if read.iter().any(|read| read.method == Method::CONNECT) || read.is_empty() {
                continue;
            }
            let mut theirs = theirs(&bytes).await;
            theirs.truncate(read.len());
            assert_eq!(theirs, read, "{shown}");
            accepted += read.len();
        }
    }
    // Both happen, or nothing was tested.
    assert!(accepted > 1000 && refused > 5000, "{accepted}, {refused}");
}
