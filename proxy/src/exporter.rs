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
use crate::metrics::Counters;

/// Time for a question.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one policy's proxy tells of itself.
pub(crate) struct Reading {
    /// In the form of Prometheus, braces included; empty where there is only one.
    labels: String,
    counters: Counters,
    generation: u64,
    /// What is wrong with its files.
    degraded: Option<String>,
    /// What is wrong with its log.
    log: Option<String>,
}

impl Reading {
    pub(crate) fn of(context: &Context, labels: &str, degraded: Option<String>) -> Self {
        Self {
            labels: labels.to_owned(),
            counters: context.recorder.counters(),
            generation: context.live.generation(),
            degraded,
            log: context.recorder.log().trouble().map(|log| log.to_string()),
        }
    }

    /// Of the only one.
    pub(crate) fn alone(context: &Context) -> Vec<Self> {
        let degraded = context.live.error().map(|error| error.to_string());
        vec![Self::of(context, "", degraded)]
    }
}

/// Answers `/metrics` and `/health` by what `read` tells, until the proxy stops.
pub(crate) async fn serve<R>(listener: TcpListener, read: R)
where
    R: Fn() -> Vec<Reading> + Send + Sync + 'static,
{
    let read = Arc::new(read);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let read = read.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = answer(&read(), request.uri().path());
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

fn answer(readings: &[Reading], path: &str) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/metrics" => (StatusCode::OK, metrics(readings)),
        "/health" => match readings
            .iter()
            .find_map(|reading| reading.degraded.as_ref().or(reading.log.as_ref()))
        {
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

/// A metric: name, kind, help, and its value in a reading.
type Metric = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Reading) -> u64,
);

const METRICS: [Metric; 13] = [
    (
        "connections_total",
        "counter",
        "Client connections taken.",
        |reading| reading.counters.connections,
    ),
    (
        "connections_open",
        "gauge",
        "Client connections open now.",
        |reading| reading.counters.open_connections,
    ),
    (
        "requests_total",
        "counter",
        "Requests and tunnels begun.",
        |reading| reading.counters.requests,
    ),
    (
        "requests_open",
        "gauge",
        "Requests and tunnels open now.",
        |reading| reading.counters.open_requests,
    ),
    (
        "allowed_total",
        "counter",
        "Requests the policy let pass.",
        |reading| reading.counters.allowed,
    ),
    ("denied_total", "counter", "Requests refused.", |reading| {
        reading.counters.denied
    }),
    (
        "failed_total",
        "counter",
        "Requests let pass that ended in an error.",
        |reading| reading.counters.failed,
    ),
    (
        "sent_bytes_total",
        "counter",
        "Body bytes towards origins.",
        |reading| reading.counters.bytes_up,
    ),
    (
        "received_bytes_total",
        "counter",
        "Body bytes towards clients.",
        |reading| reading.counters.bytes_down,
    ),
    (
        "panics_total",
        "counter",
        "Tasks that died of a defect.",
        |reading| reading.counters.panics,
    ),
    (
        "log_lines_lost_total",
        "counter",
        "Lines that could not be written to the log.",
        |reading| reading.counters.log_lines_lost,
    ),
    (
        "policy_generation",
        "gauge",
        "Number of the policy in force.",
        |reading| reading.generation,
    ),
    (
        "policy_degraded",
        "gauge",
        "1 if the policy file is wrong.",
        |reading| reading.degraded.is_some().into(),
    ),
];

/// The text format of Prometheus, version 0.0.4.
fn metrics(readings: &[Reading]) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in METRICS {
        let _ = writeln!(
            text,
            "# HELP sandbox_proxy_{name} {help}\n# TYPE sandbox_proxy_{name} {kind}"
        );
        for reading in readings {
            let _ = writeln!(
                text,
                "sandbox_proxy_{name}{} {}",
                reading.labels,
                value(reading)
            );
        }
    }
    text
}
