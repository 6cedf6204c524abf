//! What every connection of one proxy shares.

use std::sync::Arc;
use std::time::Duration;

use policy_lang::Target;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budgets::Budgets;
use crate::cause::Cause;
use crate::credentials::{Credentials, Logins};
use crate::denial::Denial;
use crate::gate::Gate;
use crate::live::Live;
use crate::load::Total;
use crate::local::Local;
use crate::options::Limits;
use crate::rates::Rates;
use crate::record::Recorder;
use crate::room::{Crowd, Room};
use crate::tls::leaf::Minter;
use crate::tls::server::Acceptor;
use crate::tls::upstream::Connector;
use crate::upstream::mirror::Mirror;
use crate::upstream::parent::Parents;
use crate::upstream::pool::Pool;

/// How long a connection that is taken just before the proxy ends may take to begin its first request.
const FIRST_WORDS: Duration = Duration::from_secs(2);

/// The parts of a running proxy.
pub(crate) struct Context {
    pub(crate) limits: Arc<Limits>,
    pub(crate) advice: Option<String>,
    pub(crate) live: Arc<Live>,
    pub(crate) local: Arc<Local>,
    pub(crate) gate: Gate,
    pub(crate) parents: Parents,
    pub(crate) pool: Arc<Pool>,
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) load: Arc<Total>,
    pub(crate) mirror: Mirror,
    pub(crate) rates: Rates,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) credentials: Credentials,
    pub(crate) logins: Logins,
    pub(crate) minter: Arc<Minter>,
    pub(crate) acceptor: Acceptor,
    pub(crate) connector: Connector,
    pub(crate) recorder: Arc<Recorder>,
    /// Cancelled when no new work is taken.
    pub(crate) draining: CancellationToken,
    /// Cancelled when what is left is dropped.
    pub(crate) stopped: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Context {
    /// Returns when a connection that began at `since` is to end because the proxy does. One that was let in just before
    /// gets the time to ask for something: its client cannot know.
    pub(crate) async fn drained(&self, since: Instant) {
        self.draining.cancelled().await;
        sleep_until(since + FIRST_WORDS).await;
    }

    /// Whether a connection that began at `since` is to end after what it does now: see [`Self::drained`].
    pub(crate) fn is_drained(&self, since: Instant) -> bool {
        self.draining.is_cancelled() && since + FIRST_WORDS <= Instant::now()
    }

    /// Takes no more connections, lets requests finish for as long as [`Limits::drain`] says, then drops the rest.
    pub(crate) async fn end(&self) {
        self.draining.cancel();
        self.tasks.close();
        let finished = timeout(self.limits.drain, self.tasks.wait()).await;
        self.stop();
        if finished.is_err() {
            self.tasks.wait().await;
        }
        self.recorder.tell_gathered();
    }

    /// Drops all that is under way, at once.
    pub(crate) fn stop(&self) {
        self.draining.cancel();
        self.stopped.cancel();
        self.pool.sweep(|_, _| false);
    }

    /// Lets go of what the policy now in force would not grant.
    pub(crate) fn sweep(&self) {
        self.pool
            .sweep(|key, permit| self.gate.carries(permit, key.reach));
    }

    /// Lets go of connections to origins that only wait.
    pub(crate) fn make_room(&self, room: Room) {
        if room != Room::Ample {
            self.pool.sweep(|_, _| false);
        }
    }

    pub(crate) fn denial(&self, cause: &Cause, target: Option<&Target>) -> Denial {
        Denial::new(cause, target, self.advice.as_deref())
    }
}
