//! A proxy that serves, and what signals and systemd have to do with it.

use std::process::ExitCode;
use std::sync::Arc;

use proxy::appliance::Appliance;
use proxy::{Proxy, Room};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::memory;
use crate::report::{Failure, Outcome};

/// With one policy, or with many.
#[derive(Clone)]
pub(super) enum Running {
    One(Arc<Proxy>),
    Many(Arc<Appliance>),
}

impl Running {
    /// Tells systemd that it serves, looks at its policies on SIGHUP, and at SIGTERM or SIGINT lets what is under way
    /// finish.
    pub(super) async fn until_told_to_stop(self) -> Outcome {
        let watch =
            |kind| signal(kind).map_err(|error| Failure::doing("cannot watch signals", &error));
        let mut terminate = watch(SignalKind::terminate())?;
        let mut interrupt = watch(SignalKind::interrupt())?;
        let mut hangup = watch(SignalKind::hangup())?;
        tell(&[NotifyState::Ready]);
        let watched = self.clone();
        memory::watch(move |room| watched.set_room(room));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    reloading();
                    self.look().await;
                    tell(&[NotifyState::Ready]);
                }
            }
        }
        tell(&[NotifyState::Stopping]);
        match self {
            Self::One(proxy) => proxy.shutdown().await,
            Self::Many(appliance) => appliance.shutdown().await,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn set_room(&self, room: Room) {
        match self {
            Self::One(proxy) => proxy.set_room(room),
            Self::Many(appliance) => appliance.set_room(room),
        }
    }

    async fn look(&self) {
        match self {
            Self::One(proxy) => proxy.look().await,
            Self::Many(appliance) => appliance.look().await,
        }
    }
}

/// The proxy holds keys: nobody attaches to it, and it leaves no core file.
pub(super) fn keep_memory_private() -> Result<(), Failure> {
    vmshim::confine::no_core_files().map_err(|error| Failure::of(&error))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| Failure::doing("cannot close the process's memory", &errno))
}

/// systemd compares this time with that of the signal it sent (`Type=notify-reload`, sd_notify(3)).
fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Without systemd there is nobody to tell; and a proxy that cannot tell serves all the same.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// Lets this process open as many files as it may: each connection is two, and the usual soft limit of 1024 is for
/// programs that use `select(2)`.
pub(super) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // With the old limit it serves fewer at once.
    let _ = setrlimit(Resource::Nofile, raised);
}
