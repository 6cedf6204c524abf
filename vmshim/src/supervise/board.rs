//! Where the supervisor's tasks leave word for each other and for callers.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::Error;
use crate::guest::Session;
use crate::status::{State, Status};
use tokio::sync::watch;

/// The state of the sandbox, seen by all.
pub(crate) struct Board {
    started: Instant,
    status: watch::Sender<Status>,
    /// How long the guest may take to end by itself, once it was asked to.
    stop: watch::Sender<Option<Duration>>,
    gone: watch::Sender<bool>,
    guest: OnceLock<Session>,
}

impl Board {
    pub(crate) fn new(started: Instant) -> Self {
        let status = Status {
            state: State::Starting {
                phase: "starting".to_owned(),
            },
            notes: Vec::new(),
            accel: None,
            timings: None,
            pid: std::process::id(),
            vmm_pid: None,
            published: Vec::new(),
        };
        Self {
            started,
            status: watch::Sender::new(status),
            stop: watch::Sender::new(None),
            gone: watch::Sender::new(false),
            guest: OnceLock::new(),
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }

    pub(crate) fn phase(&self, phase: &str) {
        self.update(|status| {
            status.state = State::Starting {
                phase: phase.to_owned(),
            }
        });
    }

    pub(crate) fn note(&self, note: String) {
        self.update(|status| {
            if !status.notes.contains(&note) {
                status.notes.push(note);
            }
        });
    }

    /// Whether programs could run at some time.
    pub(super) fn was_ready(&self) -> bool {
        self.status.borrow().timings.is_some()
    }

    /// Milliseconds since the supervisor began.
    pub(super) fn clock_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Asks the sandbox to end. The first to ask decides how much time the guest has.
    pub(crate) fn stop(&self, grace: Duration) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(grace);
            first
        });
    }

    /// Completes when the sandbox is asked to end, with the time that the guest has.
    pub(crate) async fn stopped(&self) -> Duration {
        let mut stop = self.stop.subscribe();
        let asked = stop.wait_for(Option::is_some).await.ok();
        asked.and_then(|grace| *grace).unwrap_or_default()
    }

    /// Completes when nothing of the sandbox is left.
    pub(crate) async fn gone(&self) {
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }

    /// Says how it ended. Nothing of the sandbox may be left by now.
    pub(crate) fn finish(&self, outcome: &Result<(), Error>) {
        let state = match outcome {
            Ok(()) => State::Stopped,
            Err(error) => State::Failed {
                message: sentence(error),
                help: error.help(),
            },
        };
        self.update(|status| status.state = state);
        self.gone.send_replace(true);
    }

    /// The guest, once it is ready.
    pub(crate) fn guest(&self) -> Option<&Session> {
        self.guest.get()
    }

    pub(super) fn offer_guest(&self, guest: Session) {
        // Set once a life: the sandbox is ready once.
        let _ = self.guest.set(guest);
    }
}

/// The error with what caused it, in one line.
fn sentence(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
