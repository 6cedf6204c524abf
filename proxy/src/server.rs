//! A running proxy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::{Accept, is_transient};
use crate::admin;
use crate::audit::Log;
use crate::budgets::Budgets;
use crate::cause::Cause;
use crate::context::Context;
use crate::credentials::Credentials;
use crate::error::StartError;
use crate::exporter;
use crate::gate::Gate;
use crate::http1::guard::{First, Guard};
use crate::live::{Live, Look};
use crate::local::Local;
use crate::metrics::Counters;
use crate::options::Options;
use crate::rates::Rates;
use crate::record::Recorder;
use crate::request::Scope;
use crate::resolve::Resolve;
use crate::route;
use crate::session::{self, Panics, Session};
use crate::stage::Stage;
use crate::tls::{ca, leaf::Minter, server::Acceptor, upstream::Connector};
use crate::upstream::mirror::Mirror;
use crate::watch;

/// Pause after an accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often idle connections are swept and this machine's addresses are read again.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// The filtering proxy of one sandbox.
pub struct Proxy {
    context: Arc<Context>,
}

impl Proxy {
    /// Loads policy and authority and starts watching the policy file. Serves nothing yet.
    pub async fn start(options: Options) -> Result<Arc<Self>, StartError> {
        let log = match &options.log {
            None => Log::none(),
            Some(path) => Log::open(path, &options.limits).map_err(|source| StartError::Log {
                path: path.clone(),
                source,
            })?,
        };
        let recorder = Arc::new(Recorder::new(&options.name, log));
        let (live, warnings) = Live::load(&options.config)?;
        let live = Arc::new(live);
        let resolve = Resolve::new(options.dns, options.limits.resolve)
            .map_err(|error| StartError::Resolver(error.to_string()))?;
        let local = Arc::new(Local::new(options.listeners));
        let credentials =
            Credentials::new(options.handed, options.handover).map_err(StartError::Credentials)?;
        let budgets = Arc::<Budgets>::default();
        let minter = Minter::new(ca::ensure(&options.ca_dir)?)?;
        let acceptor = Acceptor::new(minter.leaf("localhost").map_err(ca::CaError::from)?)?;
        let (connector, trust) = Connector::new(options.trust.as_deref())?;
        for warning in warnings.iter().chain(&trust) {
            recorder.config(1, false, warning);
        }
        let context = Arc::new(Context {
            limits: Arc::new(options.limits),
            advice: options.advice,
            gate: Gate::new(
                live.clone(),
                local.clone(),
                Arc::new(resolve),
                budgets.clone(),
            ),
            live,
            local,
            parents: options.parents,
            pool: Arc::default(),
            mirror: Mirror::default(),
            rates: Rates::default(),
            budgets,
            credentials,
            minter,
            acceptor,
            connector,
            recorder,
            draining: CancellationToken::new(),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        if let Some(path) = &options.admin {
            let listener = admin::bind(path).map_err(|source| StartError::Admin {
                path: path.clone(),
                source,
            })?;
            tokio::spawn(until_stopped(
                context.clone(),
                admin::serve(context.clone(), listener),
            ));
        }
        if let Some(address) = options.metrics {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|source| StartError::Metrics { address, source })?;
            // The port may have been left to the system.
            let address = listener.local_addr().unwrap_or(address);
            context.local.listens(address);
            tokio::spawn(until_stopped(
                context.clone(),
                exporter::serve(context.clone(), listener),
            ));
        }
        tokio::spawn(until_stopped(context.clone(), watched(context.clone())));
        tokio::spawn(until_stopped(
            context.clone(),
            housekeeping(context.clone()),
        ));
        Ok(Arc::new(Self { context }))
    }

    /// Serves the connections of `accept` until [`Proxy::shutdown`], or until accepting fails for good.
    ///
    /// From the call on, and not from the first poll, the proxy refuses to dial the socket behind `accept`.
    pub fn serve<A: Accept>(
        self: Arc<Self>,
        accept: A,
    ) -> impl Future<Output = io::Result<()>> + Send {
        if let Some(address) = accept.local_addr() {
            self.context.local.listens(address);
            self.context.gate.forget();
        }
        self.accepting(accept)
    }

    async fn accepting<A: Accept>(self: Arc<Self>, mut accept: A) -> io::Result<()> {
        // A connection that is accepted as the end begins counts as open before anybody asks whether one is.
        let _open = self.context.tasks.token();
        loop {
            let accepted = tokio::select! {
                // Whoever has connected by the end is let in first.
                biased;
                accepted = accept.accept() => accepted,
                () = self.context.draining.cancelled() => return Ok(()),
            };
            match accepted {
                Ok(client) => self.take(client),
                Err(error) if is_transient(&error) => sleep(ACCEPT_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Serves one connection in a task of its own.
    fn take<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, client: I) {
        let context = self.context.clone();
        let open = Open::new(&context);
        let admitted = open.count <= context.limits.connections as u64;
        self.context.tasks.spawn(async move {
            let _open = open;
            let first = match admitted {
                true => Stage::step(serve(context, client)),
                false => Stage::last(turn_away(context, client)),
            };
            first.run().await;
        });
    }

    /// Takes no more connections, lets requests finish for as long as [`crate::Limits::drain`] says, then drops the rest.
    pub async fn shutdown(&self) {
        self.context.draining.cancel();
        self.context.tasks.close();
        let finished = timeout(self.context.limits.drain, self.context.tasks.wait()).await;
        self.context.stopped.cancel();
        if finished.is_err() {
            self.context.tasks.wait().await;
        }
        self.context.pool.sweep(|_| false);
    }

    /// Counts since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.context.recorder.metrics().read()
    }

    /// The authority's certificate as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.context.minter.authority_pem()
    }
}

/// Counts a connection while it is open, and a panic of its task.
struct Open {
    context: Arc<Context>,
    count: u64,
    _panics: Panics,
}

impl Open {
    fn new(context: &Arc<Context>) -> Self {
        Self {
            context: context.clone(),
            count: context.recorder.metrics().connected(),
            _panics: Panics(context.clone()),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.context.recorder.metrics().disconnected();
    }
}

/// One client connection, as far as its first head, which says what comes next.
async fn serve<I>(context: Arc<Context>, client: I) -> Option<Stage>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut guard = Guard::new(client, context.limits.clone());
    let first = tokio::select! {
        first = guard.first() => first,
        () = context.drained(Instant::now()) => return None,
    };
    match first {
        Ok(First::Connect(head)) => {
            let (client, early) = guard.into_tunnel();
            Some(Stage::step(route::connect::serve(
                context, head, client, early,
            )))
        }
        Ok(First::Request) => {
            let session = Session::new(context, Scope::Proxy, guard.shared().clone(), None);
            Some(session::http1(Arc::new(session), guard))
        }
        Ok(First::Closed) | Err(_) => None,
    }
}

/// Over the limit: an answer, without reading the question.
async fn turn_away<I: AsyncRead + AsyncWrite + Unpin>(context: Arc<Context>, mut client: I) {
    let cause = Cause::Busy;
    context.recorder.begin("", "").failed(&cause);
    let denial = context.denial(&cause, None).to_bytes();
    let _ = timeout(Duration::from_secs(1), client.write_all(&denial)).await;
}

async fn until_stopped(context: Arc<Context>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = context.stopped.cancelled() => {}
    }
}

async fn watched(context: Arc<Context>) {
    watch::watch(Arc::downgrade(&context.live), |look| report(&context, look)).await;
}

/// Tells of a look at the policy file that brought something, and lets go of what the new policy would not grant.
pub(crate) fn report(context: &Context, look: &Look) {
    match look {
        Look::Same => {}
        Look::Changed {
            generation,
            warnings,
        } => {
            context
                .pool
                .sweep(|permit| context.gate.stands(permit, false));
            context.recorder.config(
                *generation,
                false,
                &format!("policy {generation} is in force"),
            );
            for warning in warnings {
                context.recorder.config(*generation, false, warning);
            }
        }
        Look::Wrong(error) => {
            let generation = context.live.generation();
            context.recorder.config(
                generation,
                true,
                &format!("policy {generation} stays in force: {error}"),
            );
        }
    }
}

async fn housekeeping(context: Arc<Context>) {
    let mut ticks = interval(HOUSEKEEPING);
    loop {
        ticks.tick().await;
        if context.local.refresh() {
            context.gate.forget();
        }
        context
            .pool
            .sweep(|permit| context.gate.stands(permit, false));
    }
}
