//! A stand-in for a model's API: HTTPS on loopback, answers as a stream of events, remembers who asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::origin::{Trust, identity};

mod anthropic;
mod gemini;
mod openai;

/// Speaks the APIs of three vendors well enough for their agents: it asks for one shell command, and when it hears what
/// came of it, says so.
pub(crate) struct Model {
    pub(crate) addr: SocketAddr,
    pub(crate) trust: Trust,
    heard: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    /// Serves until dropped.
    _runtime: Runtime,
}

impl Model {
    /// A model that wants `command` to be run.
    pub(crate) fn wanting(command: &'static str) -> Self {
        let (config, authority) = identity();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        runtime.spawn(async move {
            let tls = TlsAcceptor::from(config);
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, log) = (tls.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else {
                        return;
                    };
                    let service = hyper::service::service_fn(move |request| {
                        answer(request, Arc::clone(&log), command)
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            addr,
            trust: Trust::new(&authority),
            heard,
            _runtime: runtime,
        }
    }

    /// Head and body of every request for a message so far.
    pub(crate) fn heard(&self) -> Vec<(HeaderMap, Value)> {
        self.heard.lock().unwrap().clone()
    }
}

type Log = Arc<Mutex<Vec<(HeaderMap, Value)>>>;
type Events =
    StreamBody<futures::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn answer(
    request: Request<Incoming>,
    log: Log,
    command: &str,
) -> Result<Response<Events>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let events = match head.uri.path() {
        path if path.ends_with("/messages") => anthropic::events(&asked, command),
        path if path.ends_with("/responses") => openai::responses(&asked, command),
        path if path.ends_with("/chat/completions") => openai::chat(&asked, command),
        path if path.ends_with(":streamGenerateContent") => gemini::events(&asked, command),
        _ => Vec::new(),
    };
    let mut response = Response::default();
    if events.is_empty() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else {
        log.lock().unwrap().push((head.headers, asked));
    }
    // Each event is a chunk of its own, as a real one streams.
    let frames: Vec<_> = events
        .into_iter()
        .map(|event| Ok(Frame::data(Bytes::from(event))))
        .collect();
    let body = StreamBody::new(futures::stream::iter(frames));
    response
        .headers_mut()
        .insert("content-type", "text/event-stream".parse().unwrap());
    Ok(response.map(|()| body))
}

/// What the stand-in says next.
enum Next<'a> {
    /// The tool of this name is to run a command.
    Run(&'a str, &'a str),
    Say(&'static str),
}

/// `tools` are the names of those that the agent has, `names` those that run commands.
fn next<'a>(
    tools: impl Iterator<Item = &'a str>,
    names: &[&str],
    has_result: bool,
    command: &'a str,
) -> Next<'a> {
    let mut tools = tools.filter(|tool| names.contains(tool));
    match (has_result, tools.next()) {
        (true, _) => Next::Say("The command ran."),
        (false, Some(tool)) => Next::Run(tool, command),
        (false, None) => Next::Say("Nothing to do."),
    }
}

/// A server-sent event that is named after its type.
fn typed(event: &Value) -> String {
    let name = event["type"].as_str().unwrap();
    format!("event: {name}\ndata: {event}\n\n")
}
