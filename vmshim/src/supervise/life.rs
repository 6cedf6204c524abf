//! The life of a sandbox, from nothing to nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use wire::message::{Configure, Share, User};

use super::shares::Shares;
use super::vmm::{End, Vmm};
use super::{Board, Error, console, proxy};
use crate::engine::accel::{self, Accel, Findings};
use crate::engine::qemu::{self, Qemu};
use crate::engine::share_tag;
use crate::guest::{GuestError, Session};
use crate::spec::{Socket, Spec};
use crate::status::{HostClock, State, Timings};
use crate::tool;

/// How long a guest on KVM may take to say hello. It takes less than a second where KVM works.
const KVM_PATIENCE: Duration = Duration::from_secs(15);
/// How long an emulated guest may take: seconds on an idle machine, far more on a loaded one.
const TCG_PATIENCE: Duration = Duration::from_secs(180);
/// The share of the time for an orderly end that programs in the guest get; the rest is for disks.
const GUESTS_PART: f32 = 0.7;

/// What runs while the guest runs.
struct Sandbox {
    shares: Shares,
    vmm: Vmm,
}

/// Starts the sandbox, waits for its end and takes everything away.
pub(super) async fn live(spec: &Spec, board: &Arc<Board>) -> Result<(), Error> {
    if !tool::installed(qemu::PROGRAM) {
        let (program, package) = (qemu::PROGRAM.to_owned(), qemu::PACKAGE);
        return Err(tool::Error::Missing { program, package }.into());
    }
    let proxy = proxy::keep(spec.clone());
    tokio::select! {
        ended = boot_and_run(spec, board) => ended,
        () = proxy => Ok(()), // never: it is dropped, and so killed, when the sandbox ends
    }
}

async fn boot_and_run(spec: &Spec, board: &Arc<Board>) -> Result<(), Error> {
    let (accel, note) = accel::decide(spec.accel, &Findings::gather(&spec.cache_dir))?;
    note.into_iter().for_each(|note| board.note(note));
    match attempt(spec, accel, board).await {
        Err(Error::Silent { seconds, .. }) if accel == Accel::Kvm => {
            let reason = format!("a guest gave no sign of life on KVM for {seconds} seconds");
            // Not remembered means only that the next start waits as long.
            let _ = accel::remember_failure(&spec.cache_dir, &reason);
            board.note(accel::emulating(&reason));
            attempt(spec, Accel::Tcg, board).await
        }
        outcome => outcome,
    }
}

/// One VM from start to end.
async fn attempt(spec: &Spec, accel: Accel, board: &Arc<Board>) -> Result<(), Error> {
    board.update(|status| status.accel = Some(accel));
    board.phase("sharing folders");
    let shares = Shares::start(spec, board).await?;
    board.phase("booting the guest");
    let vmm = Vmm::start(spec, accel, &Qemu::new(), board)?;
    let mut sandbox = Sandbox { shares, vmm };
    let outcome = sandbox.run(spec, accel, board).await;
    sandbox.vmm.kill().await;
    sandbox.shares.kill().await;
    outcome
}

impl Sandbox {
    async fn run(&mut self, spec: &Spec, accel: Accel, board: &Board) -> Result<(), Error> {
        let guest = tokio::select! {
            guest = boot(spec, accel, board) => match guest {
                Ok(guest) => guest,
                Err(error) => return Err(self.why(error, spec).await),
            },
            ended = self.ended() => return Err(unready(ended, spec)),
            _ = board.stopped() => return Ok(()), // nothing has run yet that could lose anything
        };
        let grace = tokio::select! {
            grace = board.stopped() => grace,
            ended = self.ended() => return ended,
            () = guest.closed() => return self.lost(spec).await,
        };
        self.stop(&guest, grace, board).await
    }

    /// The VM's end, or the end of a server that the guest can't do without.
    async fn ended(&mut self) -> Result<(), Error> {
        tokio::select! {
            end = self.vmm.wait() => match end {
                End::PoweredOff => Ok(()),
                End::Unexpected(error) => Err(error),
            },
            error = self.shares.failed() => {
                // The servers end when the VMM does: its end is the news then.
                match timeout(Duration::from_secs(1), self.vmm.wait()).await {
                    Ok(End::PoweredOff) => Ok(()),
                    Ok(End::Unexpected(error)) => Err(error),
                    Err(_) => Err(error),
                }
            }
        }
    }

    /// Why the guest did not come up: when the VM is ending, a broken channel is only how we noticed.
    async fn why(&mut self, error: Error, spec: &Spec) -> Error {
        match error {
            Error::Guest { .. } => match timeout(Duration::from_secs(2), self.ended()).await {
                Ok(ended) => unready(ended, spec),
                Err(_) => error,
            },
            error => error,
        }
    }

    /// The control port broke: the VM is ending, or its init is dead and the VM useless.
    async fn lost(&mut self, spec: &Spec) -> Result<(), Error> {
        match timeout(Duration::from_secs(5), self.ended()).await {
            Ok(ended) => ended,
            Err(_) => Err(Error::Lost {
                console: spec.console_log(),
            }),
        }
    }

    /// Lets the guest end by itself within `grace`, else ends it.
    async fn stop(&mut self, guest: &Session, grace: Duration, board: &Board) -> Result<(), Error> {
        board.update(|status| status.state = State::Stopping);
        let orderly = async {
            // A guest that does not understand is killed when its time is up.
            let _ = guest.shutdown(grace.mul_f32(GUESTS_PART)).await;
            let _ = self.vmm.wait().await;
        };
        let _ = timeout(grace, orderly).await;
        Ok(())
    }
}

/// From a started VMM to a guest that is ready.
async fn boot(spec: &Spec, accel: Accel, board: &Board) -> Result<Session, Error> {
    let spawned_ms = board.clock_ms();
    let failed = |error| failure(error, spec);
    let patience = match accel {
        Accel::Kvm => KVM_PATIENCE,
        Accel::Tcg => TCG_PATIENCE,
    };
    let socket = spec.socket(Socket::GuestControl);
    let guest = Session::connect(&socket, patience).await.map_err(failed)?;
    let waiting = guest.hello().await.map_err(failed)?;
    let hello_ms = board.clock_ms();
    board.phase("setting up the guest");
    let timings = waiting
        .configure(&configuration(spec))
        .await
        .map_err(failed)?;
    let clock = HostClock {
        spawned_ms,
        hello_ms,
        ready_ms: board.clock_ms(),
    };
    board.offer_guest(guest.clone());
    board.update(|status| {
        status.timings = Some(Timings::split(clock, timings));
        status.state = State::Ready;
    });
    Ok(guest)
}

/// A VM that ended before its guest was ready failed, even if it ended well.
fn unready(ended: Result<(), Error>, spec: &Spec) -> Error {
    match ended {
        Ok(()) => Error::Vmm {
            said: console::last_words(spec),
            console: spec.console_log(),
        },
        Err(error) => error,
    }
}

fn failure(error: GuestError, spec: &Spec) -> Error {
    let console = spec.console_log();
    match error {
        GuestError::Silent(patience) => Error::Silent {
            seconds: patience.as_secs(),
            console,
        },
        error => Error::Guest {
            source: Box::new(error),
            console,
        },
    }
}

fn configuration(spec: &Spec) -> Configure {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let share = |(n, share): (usize, &crate::spec::Share)| Share {
        tag: share_tag(n),
        path: share.guest.display().to_string(),
        read_only: share.read_only,
    };
    Configure {
        hostname: spec.hostname.clone(),
        shares: spec.shares.iter().enumerate().map(share).collect(),
        ca_pem: spec.ca_pem.clone(),
        env: spec.env.clone(),
        user: User::default(),
        time_unix_ns: u64::try_from(now.as_nanos()).unwrap_or_default(),
    }
}
