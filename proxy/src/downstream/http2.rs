//! HTTP/2 towards a client: hyper's server, with the limits and the ends that a connection of ours has.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, interval_at};

use super::body::ClientBody;
use crate::context::Context;
use crate::exchange;
use crate::panics::Panics;
use crate::session::Session;
use crate::stage::Stage;
use crate::stall::{self, Stall};

/// Bytes written ahead of a slow client.
const BUFFER: usize = 64 * 1024;

/// Streams at once on one connection.
const MAX_STREAMS: u32 = 100;

/// Streams a client may open and reset before they are served (CVE-2023-44487), and streams it may make us reset
/// (CVE-2025-8671), before the connection is ended.
const MAX_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 64;

/// Decoded size of a request's fields.
const MAX_FIELDS_SIZE: u32 = 32 * 1024;

/// Flow-control windows. The way from the guest is short, so small ones do.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A client that does not answer a ping is gone.
const PING: Duration = Duration::from_secs(45);
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// Serves HTTP/2 until the client leaves, the policy takes the connection back or the proxy stops: every stream is a
/// request of its own, judged on its own.
pub(crate) fn http2<I>(session: Arc<Session>, io: I) -> Stage
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let serving = session.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let session = serving.clone();
        let busy = session.load.busy();
        let request = request.map(ClientBody::Http2);
        async move { Ok::<_, Infallible>(exchange::answer(session, request, busy).await) }
    });
    let connection = http2::Builder::new(Streams(session.context.clone()))
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_FIELDS_SIZE)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .max_send_buf_size(BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING_PATIENCE)
        .serve_connection(TokioIo::new(io), service);
    Stage::last(drive(session, Box::pin(connection), |connection| {
        connection.graceful_shutdown()
    }))
}

/// Polls `connection` to its end, and ends it when it is revoked, idle for too long, or the proxy stops.
async fn drive<C>(
    session: Arc<Session>,
    mut connection: Pin<Box<C>>,
    graceful: impl Fn(Pin<&mut C>),
) where
    C: Future,
{
    let context = &*session.context;
    let mut changes = context.live.changes();
    let began = Instant::now();
    let mut ending = false;
    let mut idle = interval_at(Instant::now() + context.limits.idle, context.limits.idle);
    let mut seen = session.load.begun();
    loop {
        tokio::select! {
            // What went wrong on the client's connection, its requests record.
            _ = connection.as_mut() => return,
            _ = changes.changed() => {
                if session.is_revoked() {
                    return;
                }
            }
            _ = idle.tick() => {
                let begun = session.load.begun();
                if begun == seen && session.load.is_idle() {
                    if ending {
                        // Answers are written, and nobody takes them.
                        return;
                    }
                    ending = true;
                    graceful(connection.as_mut());
                }
                seen = begun;
            }
            () = context.drained(began), if !ending => {
                ending = true;
                graceful(connection.as_mut());
            }
            () = context.stopped.cancelled() => return,
        }
    }
}

/// Runs the streams of an HTTP/2 connection. A stream whose task panics is reset; the others go on.
#[derive(Clone)]
struct Streams(Arc<Context>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let context = self.0.clone();
        tokio::spawn(async move {
            let allowance = context.limits.body_idle;
            let mut changes = context.live.changes();
            let _panics = Panics(context.recorder.clone());
            let changed = async |stream: &Stall| {
                while changes.changed().await.is_ok() {
                    if stream.is_refused(&context.gate) {
                        return;
                    }
                }
                std::future::pending().await
            };
            stall::watched(stream, allowance, changed).await;
        });
    }
}
