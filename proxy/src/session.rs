//! One connection of a client, as its requests see it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, interval_at};

use crate::answer::Answer;
use crate::appliance::Member;
use crate::cause::Cause;
use crate::context::Context;
use crate::downstream::ClientBody;
use crate::exchange;
use crate::gate::Permit;
use crate::http1::head::HeadError;
use crate::load::Load;
use crate::request::{Last, Scope};
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

/// What the requests of one connection share.
pub(crate) struct Session {
    pub(crate) context: Arc<Context>,
    pub(crate) scope: Scope,
    pub(crate) last: Last,
    pub(crate) load: Arc<Load>,
    /// The permission behind what the connection does now.
    permit: Mutex<Option<Permit>>,
    revoked: Arc<AtomicBool>,
    /// Whose connection it is, where clients say who they are.
    member: Option<Member>,
}

impl Session {
    pub(crate) fn new(context: Arc<Context>, scope: Scope, permit: Option<Permit>) -> Self {
        Self {
            context,
            scope,
            last: Last::default(),
            load: Arc::default(),
            permit: Mutex::new(permit),
            revoked: Arc::default(),
            member: None,
        }
    }

    /// The same for a client that has to say with each request who it is.
    pub(crate) fn of(self, member: Option<Member>) -> Self {
        Self { member, ..self }
    }

    /// The stream, or over HTTP/1 the connection, now acts on `permit`, and ends when a new policy takes that back. An
    /// error if one has already, and nobody looked again since.
    pub(crate) fn acts_on(&self, permit: &Permit) -> Result<(), Cause> {
        match Stall::current() {
            Some(stream) => stream.acts_on(permit),
            None => {
                *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit.clone());
            }
        }
        match self.context.gate.stands(permit, false) {
            true => Ok(()),
            false => Err(Cause::Revoked),
        }
    }

    /// Whether the policy in force has taken back what the connection acts on. Requests that end for it are told so.
    pub(crate) fn is_revoked(&self) -> bool {
        let permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        let revoked = permit.as_ref().is_some_and(|permit| {
            let stands = match self.load.is_idle() {
                true => self.context.gate.stands(&permit.for_any(), false),
                false => self.context.gate.stands(permit, false),
            };
            !stands
        });
        if revoked {
            self.revoked.store(true, Ordering::Relaxed);
        }
        revoked
    }

    /// Tells of the end of a request because of the policy.
    pub(crate) fn revocation(&self) -> Revocation {
        Revocation {
            connection: self.revoked.clone(),
            stream: Stall::current(),
        }
    }

    /// The answer to a request that is not this client's, or that nobody knows who sent.
    pub(crate) fn stranger(&self, fields: &HeaderMap) -> Option<Response<Answer>> {
        let member = self.member.as_ref()?;
        let cause = member.refusal(fields)?;
        Some(exchange::refuse(member.nobody(), &cause))
    }

    /// The answer to what was not even a request.
    pub(crate) fn refuse(&self, error: HeadError) -> Response<Answer> {
        let cause = match (error, &self.scope) {
            (HeadError::LateConnect, Scope::Inside { .. }) => Cause::NestedConnect,
            (error, _) => Cause::Head(error),
        };
        exchange::refuse(&self.context, &cause)
    }

    /// Returns when the connection is to be dropped as it is: the policy takes it back, or the proxy stops.
    pub(crate) async fn cut(&self) {
        let mut changes = self.context.live.changes();
        let revoked = async {
            while changes.changed().await.is_ok() {
                if self.is_revoked() {
                    return;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            () = revoked => {}
            () = self.context.stopped.cancelled() => {}
        }
    }
}

/// Set when a connection, or its stream, ends because of the policy.
#[derive(Debug)]
pub(crate) struct Revocation {
    connection: Arc<AtomicBool>,
    stream: Option<Arc<Stall>>,
}

impl Revocation {
    pub(crate) fn is_set(&self) -> bool {
        let stream = self.stream.as_ref();
        self.connection.load(Ordering::Relaxed) || stream.is_some_and(|stream| stream.is_revoked())
    }
}

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
            let _panics = Panics(context.clone());
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

/// Counts a panic of the task that holds it, and logs it: not every task has a request whose line would tell.
pub(crate) struct Panics(pub(crate) Arc<Context>);

impl Drop for Panics {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let recorder = &self.0.recorder;
            recorder.metrics().panicked();
            let cause =
                Cause::Internal("a task of the proxy panicked; its connection is closed".into());
            recorder.begin("", "").failed(&cause);
        }
    }
}
