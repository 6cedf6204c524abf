//! Counters for Prometheus and health for supervisors, on a listener of their own that must be asked for.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::context::Context;

/// Time for a question.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers `/metrics` and `/health` until the proxy stops.
pub(crate) async fn serve(context: Arc<Context>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let context = context.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = answer(&context, request.uri().path());
                async { Ok::<_, Infallible>(response) }
            });
            // A client that leaves early has nobody to tell.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(context: &Context, path: &str) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/metrics" => (StatusCode::OK, metrics(context)),
        "/health" => match context.live.error() {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(error) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("degraded: {error}\n"),
            ),
        },
        _ => (
            StatusCode::NOT_FOUND,
            "there are: /metrics, /health\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The text format of Prometheus, version 0.0.4.
fn metrics(context: &Context) -> String {
    let counters = context.recorder.metrics().read();
    let rows: [(&str, &str, &str, u64); 12] = [
        (
            "connections_total",
            "counter",
            "Client connections taken.",
            counters.connections,
        ),
        (
            "connections_open",
            "gauge",
            "Client connections open now.",
            counters.open_connections,
        ),
        (
            "requests_total",
            "counter",
            "Requests and tunnels begun.",
            counters.requests,
        ),
        (
            "requests_open",
            "gauge",
            "Requests and tunnels open now.",
            counters.open_requests,
        ),
        (
            "allowed_total",
            "counter",
            "Requests the policy let pass.",
            counters.allowed,
        ),
        (
            "denied_total",
            "counter",
            "Requests refused.",
            counters.denied,
        ),
        (
            "failed_total",
            "counter",
            "Requests let pass that ended in an error.",
            counters.failed,
        ),
        (
            "sent_bytes_total",
            "counter",
            "Body bytes towards origins.",
            counters.bytes_up,
        ),
        (
            "received_bytes_total",
            "counter",
            "Body bytes towards clients.",
            counters.bytes_down,
        ),
        (
            "panics_total",
            "counter",
            "Tasks that died of a defect.",
            counters.panics,
        ),
        (
            "policy_generation",
            "gauge",
            "Number of the policy in force.",
            context.live.generation(),
        ),
        (
            "policy_degraded",
            "gauge",
            "1 if the policy file is wrong.",
            context.live.error().is_some().into(),
        ),
    ];
    rows.iter().fold(String::new(), |mut text, (name, kind, help, value)| {
        let _ = writeln!(
            text,
            "# HELP sandbox_proxy_{name} {help}\n# TYPE sandbox_proxy_{name} {kind}\nsandbox_proxy_{name} {value}"
        );
        text
    })
}
