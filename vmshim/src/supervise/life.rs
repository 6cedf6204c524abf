//! The life of a sandbox, from nothing to nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::timeout;
use wire::NO_TIMER;
use wire::message::{Configure, Share, User};

use super::proxy::Silence;
use super::publish::Ports;
use super::shares::Shares;
use super::vmm::{End, Vmm};
use super::{Board, Error, console, proxy};
use crate::engine::accel::{self, Accel, Findings};
use crate::engine::qemu::{self, Qemu};
use crate::engine::{Engine, share_tag};
use crate::guest::{GuestError, Session};
use crate::spec::{AccelChoice, Isolation, Socket, Spec};
use crate::status::{HostClock, State, Timings};
use crate::tool;

/// The share of the time for an orderly end that programs in the guest get; the rest is for disks.
const GUESTS_PART: f32 = 0.7;

/// Machines that are started before one without a working timer is what one gets.
const ATTEMPTS: usize = 3;

/// What a life depends on besides its spec.
struct Means<'a> {
    engine: &'a dyn Engine,
    findings: Findings,
    patience: Patience,
    ports: Ports,
}

/// How long a guest may take to say hello.
struct Patience {
    /// On KVM: it takes less than a second where KVM works.
    kvm: Duration,
    /// Emulated: seconds on an idle machine, far more on a loaded one.
    tcg: Duration,
}

impl Patience {
    const USUAL: Self = Self {
        kvm: Duration::from_secs(15),
        tcg: Duration::from_secs(180),
    };

    fn with(&self, accel: Accel) -> Duration {
        match accel {
            Accel::Kvm => self.kvm,
            Accel::Tcg => self.tcg,
        }
    }
}

/// Starts the sandbox, waits for its end and takes everything away.
pub(super) async fn live(spec: &Spec, board: &Arc<Board>) -> Result<(), Error> {
    let ports = Ports::bind(&spec.publish).await?;
    board.update(|status| status.published = ports.published());
    let (end, ended) = oneshot::channel::<()>();
    let proxy = tokio::spawn({
        let (spec, board) = (spec.clone(), Arc::clone(board));
        async move { proxy::keep(spec, Silence::USUAL, &board, async { drop(ended.await) }).await }
    });
    let outcome = match spec.isolation {
        Isolation::MicroVm => boot_and_run(spec, board, ports).await,
        Isolation::Container => contain(spec, board, &ports).await,
    };
    drop(end);
    let _ = proxy.await;
    outcome
}

/// A container from start to end.
async fn contain(spec: &Spec, board: &Arc<Board>, ports: &Ports) -> Result<(), Error> {
    let (mut vmm, unserved) = Vmm::contain(spec, board).await?;
    let shares = match Shares::serve(spec, unserved, board).await {
        Ok(shares) => shares,
        Err(error) => {
            vmm.kill().await;
            return Err(error);
        }
    };
    let mut sandbox = Sandbox { shares, vmm };
    let outcome = sandbox.run(spec, Patience::USUAL.kvm, board, ports).await;
    sandbox.vmm.kill().await;
    sandbox.shares.kill().await;
    outcome
}

/// A microVM from start to end, with the means of this machine.
async fn boot_and_run(spec: &Spec, board: &Arc<Board>, ports: Ports) -> Result<(), Error> {
    if !tool::installed(qemu::PROGRAM) {
        let (program, package) = (qemu::PROGRAM.to_owned(), qemu::PACKAGE);
        return Err(tool::Error::Missing { program, package }.into());
    }
    let means = Means {
        engine: &Qemu::new(),
        findings: Findings::gather(&spec.cache_dir),
        patience: Patience::USUAL,
        ports,
    };
    boot_with(spec, board, &means).await
}

async fn boot_with(spec: &Spec, board: &Arc<Board>, means: &Means<'_>) -> Result<(), Error> {
    let (accel, note) = accel::decide(spec.accel, &means.findings)?;
    note.into_iter().for_each(|note| board.note(note));
    let outcome = attempts(spec, accel, board, means).await;
    let Some(reason) = kvm_failure(&outcome).filter(|_| accel == Accel::Kvm) else {
        return outcome;
    };
    if spec.accel == AccelChoice::Kvm || board.was_ready() {
        return outcome;
    }
    // Not remembered means only that the next start waits as long.
    let _ = accel::remember_failure(&spec.cache_dir, &reason);
    board.note(accel::emulating(&reason));
    attempts(spec, Accel::Tcg, board, means).await
}

/// Starts another machine in place of one in which no timer works, as happens under emulation on a busy host.
async fn attempts(
    spec: &Spec,
    accel: Accel,
    board: &Arc<Board>,
    means: &Means<'_>,
) -> Result<(), Error> {
    for n in 1..ATTEMPTS {
        let outcome = attempt(spec, accel, board, means).await;
        match &outcome {
            Err(Error::Vmm { said, .. }) if said.contains(NO_TIMER) && !board.was_ready() => {
                board.note(in_vain(n, NO_TIMER));
            }
            // Its kernel may have stopped for want of a timer before init could say so. That takes long: once.
            Err(error @ Error::Silent { .. }) if accel == Accel::Tcg && n == 1 => {
                board.note(in_vain(n, error));
            }
            _ => return outcome,
        }
    }
    attempt(spec, accel, board, means).await
}

fn in_vain(attempt: usize, why: impl std::fmt::Display) -> String {
    format!("start {attempt} was in vain: {why}")
}

/// What KVM is blamed for when a guest on it never got ready.
fn kvm_failure(outcome: &Result<(), Error>) -> Option<String> {
    match outcome {
        Err(Error::Silent { seconds, .. }) => Some(format!(
            "a guest gave no sign of life on KVM for {seconds} seconds"
        )),
        Err(Error::Vmm { said, .. }) => Some(format!("a guest on KVM ended at once: {said}")),
        _ => None,
    }
}

/// One VM from start to end.
async fn attempt(
    spec: &Spec,
    accel: Accel,
    board: &Arc<Board>,
    means: &Means<'_>,
) -> Result<(), Error> {
    board.update(|status| status.accel = Some(accel));
    board.phase("sharing folders");
    let shares = Shares::start(spec, board).await?;
    board.phase("booting the guest");
    let vmm = Vmm::start(spec, accel, means.engine, board)?;
    let mut sandbox = Sandbox { shares, vmm };
    let outcome = sandbox
        .run(spec, means.patience.with(accel), board, &means.ports)
        .await;
    sandbox.vmm.kill().await;
    sandbox.shares.kill().await;
    outcome
}

/// What runs while the guest runs.
struct Sandbox {
    shares: Shares,
    vmm: Vmm,
}

impl Sandbox {
    async fn run(
        &mut self,
        spec: &Spec,
        patience: Duration,
        board: &Arc<Board>,
        ports: &Ports,
    ) -> Result<(), Error> {
        let guest = tokio::select! {
            guest = boot(spec, patience, board) => match guest {
                Ok(guest) => guest,
                Err(error) => return Err(self.why(error, spec).await),
            },
            ended = self.ended() => return Err(unready(ended, spec)),
            _ = board.stopped() => return Ok(()), // nothing has run yet that could lose anything
        };
        let _ports = ports.serve(&guest);
        let _watches = self.shares.watch(&guest, board);
        let grace = tokio::select! {
            grace = board.stopped() => grace,
            ended = self.ended() => return ended.and_then(|()| calm(spec)),
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
            Ok(ended) => ended.and_then(|()| calm(spec)),
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
async fn boot(spec: &Spec, patience: Duration, board: &Board) -> Result<Session, Error> {
    let spawned_ms = board.clock_ms();
    let failed = |error| failure(error, spec);
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

/// A guest's kernel that panics powers off too.
fn calm(spec: &Spec) -> Result<(), Error> {
    match console::panic(spec) {
        None => Ok(()),
        Some(said) => Err(Error::Vmm {
            said,
            console: spec.console_log(),
        }),
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
        file: share.file,
    };
    Configure {
        hostname: spec.hostname.clone(),
        shares: spec.shares.iter().enumerate().map(share).collect(),
        ca_pem: spec.ca_pem.clone(),
        env: spec.env.clone(),
        seeds: spec.seeds.clone(),
        user: User::default(),
        time_unix_ns: u64::try_from(now.as_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::spec;

    /// No guest ever says hello: the helper sleeps, or fails at once.
    async fn boot_in_vain(helper: &str, choice: AccelChoice) -> (Error, Vec<String>, bool) {
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec {
            state_dir: dir.path().into(),
            runtime_dir: dir.path().into(),
            cache_dir: dir.path().into(),
            shares: Vec::new(),
            accel: choice,
            helper_command: vec!["sh".into(), "-c".into(), helper.into(), "helper".into()],
            ..spec()
        };
        let board = Arc::new(Board::new(std::time::Instant::now()));
        let means = Means {
            engine: &Qemu::new(),
            findings: Findings {
                device: Ok(()),
                processor: true,
                remembered: None,
            },
            patience: Patience {
                kvm: Duration::from_secs(1),
                tcg: Duration::from_millis(300),
            },
            ports: Ports::default(),
        };
        let error = boot_with(&spec, &board, &means).await.unwrap_err();
        let remembered = Findings::gather(dir.path()).remembered.is_some();
        (error, board.status().notes, remembered)
    }

    #[tokio::test]
    async fn a_guest_that_kvm_never_starts_is_emulated() {
        let (error, notes, remembered) = boot_in_vain("exec sleep 1000", AccelChoice::Auto).await;
        assert!(
            matches!(error, Error::Silent { seconds: 0, .. }),
            "the second try: {error}"
        );
        let said = "running without KVM, which is slower: a guest gave no sign of life on KVM for 1 seconds";
        assert_eq!(notes, [said, &in_vain(1, &error)]);
        assert!(remembered);
    }

    #[tokio::test]
    async fn a_vmm_that_fails_on_kvm_is_tried_again_without() {
        let (error, notes, remembered) =
            boot_in_vain("echo no kvm today >&2; exit 1", AccelChoice::Auto).await;
        assert!(matches!(error, Error::Vmm { .. }), "{error}");
        assert!(
            notes[0].ends_with("a guest on KVM ended at once: no kvm today"),
            "{notes:?}"
        );
        assert!(remembered);
    }

    #[tokio::test]
    async fn a_machine_without_a_timer_is_replaced_twice() {
        let helper = format!("echo 'sandbox-init: {NO_TIMER}' >&2; exit 1");
        let (error, notes, _) = boot_in_vain(&helper, AccelChoice::Tcg).await;
        assert!(matches!(error, Error::Vmm { .. }), "{error}");
        assert_eq!(notes, [in_vain(1, NO_TIMER), in_vain(2, NO_TIMER)]);
    }

    #[tokio::test]
    async fn kvm_by_demand_is_not_replaced() {
        let (error, notes, remembered) = boot_in_vain("exec sleep 1000", AccelChoice::Kvm).await;
        assert!(matches!(error, Error::Silent { seconds: 1, .. }), "{error}");
        assert!(notes.is_empty() && !remembered);
    }
}
