//! A stand-in for a model's API: HTTPS on loopback, answers as a stream of events, remembers who asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::origin::{Trust, identity};

/// Speaks Anthropic's Messages API well enough for an agent: it asks for one shell command, and when it hears
/// what came of it, says so.
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
    let has_result = asked["messages"].to_string().contains("tool_result");
    let has_shell = asked["tools"].to_string().contains(r#""name":"Bash""#);
    if asked.is_object() {
        log.lock().unwrap().push((head.headers, asked));
    }
    let events = match (has_shell, has_result) {
        (true, false) => events(&shell(command), "tool_use"),
        (_, true) => events(&text("The command ran."), "end_turn"),
        (false, false) => events(&text("Nothing to do."), "end_turn"),
    };
    // Each event is a chunk of its own, as a real one streams.
    let frames: Vec<_> = events
        .into_iter()
        .map(|event| Ok(Frame::data(Bytes::from(event))))
        .collect();
    let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)));
    response
        .headers_mut()
        .insert("content-type", "text/event-stream".parse().unwrap());
    Ok(response)
}

fn text(text: &str) -> [Value; 2] {
    [
        json!({ "type": "text", "text": "" }),
        json!({ "type": "text_delta", "text": text }),
    ]
}

fn shell(command: &str) -> [Value; 2] {
    let input = json!({ "command": command, "description": "what the test wants" }).to_string();
    [
        json!({ "type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {} }),
        json!({ "type": "input_json_delta", "partial_json": input }),
    ]
}

/// One content block as Anthropic streams it.
fn events([start, delta]: &[Value; 2], stop_reason: &str) -> Vec<String> {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "stand-in", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    let all = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": start }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({
            "type": "message_delta", "usage": { "output_tokens": 1 },
            "delta": { "stop_reason": stop_reason, "stop_sequence": null },
        }),
        json!({ "type": "message_stop" }),
    ];
    let event = |event: &Value| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap()
        )
    };
    all.iter().map(event).collect()
}
