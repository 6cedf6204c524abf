//! A running proxy with one policy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::interval;

use crate::accept::Accept;
use crate::admin;
use crate::context::Context;
use crate::credentials::Credentials;
use crate::entrance;
use crate::error::StartError;
use crate::exporter;
use crate::ground::Ground;
use crate::live::{Live, Look};
use crate::metrics::Counters;
use crate::options::Options;
use crate::room::Room;
use crate::watch;

/// How often idle connections are swept.
pub(crate) const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// The filtering proxy of one sandbox.
pub struct Proxy {
    context: Arc<Context>,
}

impl Proxy {
    /// Loads policy and authority and starts watching the policy file. Serves nothing yet.
    pub async fn start(options: Options) -> Result<Arc<Self>, StartError> {
        let (ground, trust) = Ground::new(&options)?;
        let (live, warnings) = Live::load(&options.config, options.lists.as_deref())?;
        let credentials =
            Credentials::new(options.handed, options.handover).map_err(StartError::Credentials)?;
        let context = ground.context(&options.name, Arc::new(live), credentials)?;
        for warning in warnings.iter().chain(&trust) {
            context.recorder.config(1, false, warning);
        }
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
            let alone = context.clone();
            tokio::spawn(until_stopped(
                context.clone(),
                exporter::serve(listener, move || exporter::Reading::alone(&alone)),
            ));
        }
        tokio::spawn(until_stopped(context.clone(), watched(context.clone())));
        tokio::spawn(until_stopped(
            context.clone(),
            housekeeping(context.clone()),
        ));
        tokio::spawn(until_stopped(context.clone(), located(context.clone())));
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
        }
        let context = self.context.clone();
        entrance::accepting(self.context.clone(), accept, move |client| {
            entrance::take(&context, client);
        })
    }

    /// Looks at the policy file now, as it does by itself when the file changes.
    pub async fn look(&self) {
        let look = watch::look(self.context.live.clone()).await;
        report(&self.context, &look);
    }

    /// Takes no more connections, lets requests finish for as long as [`crate::Limits::drain`] says, then drops the rest.
    pub async fn shutdown(&self) {
        self.context.end().await;
    }

    /// Tells how much memory there is for what clients ask. With [`Room::None`], to be told again as long as there is none.
    pub fn set_room(&self, room: Room) {
        self.context.make_room(room);
        self.context.crowd.set(room);
    }

    /// Counts since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.context.recorder.counters()
    }

    /// The authority's certificate as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.context.minter.authority_pem()
    }
}

/// Does `work` until `context` is stopped.
pub(crate) async fn until_stopped(context: Arc<Context>, work: impl Future<Output = ()>) {
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
            context.sweep();
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
        context.sweep();
    }
}

/// Lets go of connections to addresses that have become this machine's.
async fn located(context: Arc<Context>) {
    context.local.follow(|| context.sweep()).await;
}
