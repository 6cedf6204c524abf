//! What all policies of one process stand on: one log, one authority, one resolver, one view of this machine.
//!
//! What could carry something from one policy's clients to another's is not here: connections to origins, their TLS
//! sessions, routes, rates, budgets, tokens and the list of denials are each [`Context`]'s own.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Log;
use crate::budgets::Budgets;
use crate::context::Context;
use crate::credentials::{Credentials, Login, Logins};
use crate::error::StartError;
use crate::gate::Gate;
use crate::live::Live;
use crate::local::Local;
use crate::options::{Limits, Options};
use crate::rates::Rates;
use crate::record::Recorder;
use crate::resolve::Resolve;
use crate::room::Crowd;
use crate::tls::{ca, leaf::Minter, server::Acceptor, upstream, upstream::Connector};
use crate::upstream::mirror::Mirror;
use crate::upstream::parent::Parents;

/// The shared parts.
pub(crate) struct Ground {
    limits: Arc<Limits>,
    advice: Option<String>,
    pub(crate) local: Arc<Local>,
    log: Arc<Log>,
    resolve: Resolve,
    parents: Parents,
    pub(crate) minter: Arc<Minter>,
    roots: Arc<RootCertStore>,
    logins: Vec<Login>,
    login_store: Option<PathBuf>,
    pub(crate) crowd: Arc<Crowd>,
}

impl Ground {
    /// Opens and makes what `options` name. Also tells what was left out.
    pub(crate) fn new(options: &Options) -> Result<(Self, Vec<String>), StartError> {
        let log = match &options.log {
            None => Log::none(),
            Some(path) => Log::open(path, &options.limits).map_err(|source| StartError::Log {
                path: path.clone(),
                source,
            })?,
        };
        let resolve = Resolve::new(options.dns, options.limits.resolve)
            .map_err(|error| StartError::Resolver(error.to_string()))?;
        let minter = Minter::new(ca::ensure(&options.ca_dir)?)?;
        let (roots, warnings) = upstream::trusted(options.trust.as_deref());
        let local = Local::new(options.listeners.clone()).map_err(StartError::Addresses)?;
        let ground = Self {
            limits: Arc::new(options.limits.clone()),
            advice: options.advice.clone(),
            local: Arc::new(local),
            log: Arc::new(log),
            resolve,
            parents: options.parents.clone(),
            minter: Arc::new(minter),
            roots,
            logins: options.logins.clone(),
            login_store: options.login_store.clone(),
            crowd: Arc::default(),
        };
        Ok((ground, warnings))
    }

    /// The parts of a proxy that serves under the policy in `live`, and calls itself `name`.
    pub(crate) fn context(
        &self,
        name: &str,
        live: Arc<Live>,
        credentials: Credentials,
    ) -> Result<Arc<Context>, StartError> {
        let budgets = Arc::<Budgets>::default();
        let logins = Logins::new(self.logins.clone(), self.login_store.clone());
        let placeholder = self.minter.leaf("localhost").map_err(ca::CaError::from)?;
        Ok(Arc::new(Context {
            limits: self.limits.clone(),
            advice: self.advice.clone(),
            gate: Gate::new(
                live.clone(),
                self.local.clone(),
                self.resolve.for_another(),
                budgets.clone(),
                self.parents.clone(),
            ),
            live,
            local: self.local.clone(),
            parents: self.parents.clone(),
            pool: Arc::default(),
            crowd: self.crowd.clone(),
            load: Arc::default(),
            mirror: Mirror::default(),
            rates: Rates::default(),
            budgets,
            credentials,
            logins: logins.map_err(StartError::Credentials)?,
            minter: self.minter.clone(),
            acceptor: Acceptor::new(placeholder)?,
            connector: Connector::new(self.roots.clone())?,
            recorder: Arc::new(Recorder::new(name, self.log.clone())),
            draining: CancellationToken::new(),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }
}
