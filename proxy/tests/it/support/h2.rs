//! Origins and clients that speak HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;

use super::client::{Tunnel, client_config};
use super::{World, soon};

pub(crate) type Body = BoxBody<Bytes, Infallible>;

pub(crate) fn full(text: &str) -> Body {
    Full::new(Bytes::from(text.to_owned())).boxed()
}

/// A body whose frames come when the test sends them.
pub(crate) fn piped() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, mut receiver) = mpsc::channel(1);
    let stream =
        futures::stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|frame| frame.map(Ok)));
    (sender, StreamBody::new(stream).boxed())
}

pub(crate) type Handler =
    Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Version, `:authority` or `Host`, path and fields of a request.
type Seen = (http::Version, String, String, HeaderMap);

/// An origin that speaks whatever its TLS configuration settles on.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) requests: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    pub(crate) async fn start(
        config: Arc<ServerConfig>,
        handler: impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        Self::reading(config, move |request| {
            Box::pin(std::future::ready(handler(request)))
        })
        .await
    }

    /// An origin that may read a request before it answers.
    pub(crate) async fn reading(
        config: Arc<ServerConfig>,
        handler: impl Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, config, Arc::new(handler))
    }

    /// On a socket whose port somebody had to know before.
    pub(crate) fn on(listener: TcpListener, config: Arc<ServerConfig>, handler: Handler) -> Self {
        let origin = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (origin.connections.clone(), origin.requests.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, handler, requests) = (
                    TlsAcceptor::from(config.clone()),
                    handler.clone(),
                    requests.clone(),
                );
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else {
                        return;
                    };
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let service = service_fn(move |request: Request<Incoming>| {
                        let host = request
                            .headers()
                            .get("host")
                            .map(|host| host.to_str().unwrap().to_owned());
                        let authority = request
                            .uri()
                            .authority()
                            .map(ToString::to_string)
                            .or(host)
                            .unwrap();
                        let path = request.uri().path_and_query().unwrap().to_string();
                        requests.lock().unwrap().push((
                            request.version(),
                            authority,
                            path,
                            request.headers().clone(),
                        ));
                        let response = handler(request);
                        async move { Ok::<_, Infallible>(response.await) }
                    });
                    let io = TokioIo::new(stream);
                    let _ = match h2 {
                        true => {
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                                .serve_connection(io, service)
                                .await
                        }
                        false => {
                            hyper::server::conn::http1::Builder::new()
                                .serve_connection(io, service)
                                .await
                        }
                    };
                });
            }
        });
        origin
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// An HTTP/2 client inside an intercepted `CONNECT`.
pub(crate) struct Client {
    pub(crate) sender: SendRequest<Body>,
    authority: String,
}

impl Client {
    /// Offers `alpn` and expects `h2` to be chosen.
    pub(crate) async fn connect(world: &World, authority: &str, alpn: &[&[u8]]) -> Self {
        let tunnel = Tunnel::open(world.address, authority).await.unwrap();
        let host = authority.split(':').next().unwrap();
        let tunnel = tunnel
            .tls_with(client_config(&world.ca(), alpn), host)
            .await
            .unwrap();
        Self::over(tunnel.io, authority).await
    }

    /// On a connection on which nothing but TLS was said.
    pub(crate) async fn over(tls: TlsStream<TcpStream>, authority: &str) -> Self {
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
                .await
                .unwrap();
        tokio::spawn(connection);
        Self {
            sender,
            authority: authority.to_owned(),
        }
    }

    pub(crate) fn request(&self, path: &str) -> http::request::Builder {
        let uri: Uri = format!("https://{}{path}", self.authority).parse().unwrap();
        Request::builder().uri(uri)
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        soon("an h2 answer", self.sender.clone().send_request(request)).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self
            .send(self.request(path).body(Empty::new().boxed()).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = soon("an h2 body", response.into_body().collect())
            .await
            .unwrap()
            .to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}
