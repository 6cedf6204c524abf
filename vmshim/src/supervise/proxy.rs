//! Keeps the proxy running. Without it the guest has no way out; the guest itself need not notice a restart.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::process::Stdio;
use std::time::Duration;

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use super::Board;
use crate::spec::Spec;

/// A proxy that lived this long is restarted at once; one that did not is waited for.
const HEALTHY: Duration = Duration::from_secs(5);
/// The first wait and the longest: a broken proxy must not be busy work, a mended one must not be awaited.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// How long the proxy may take to finish its log when the sandbox ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a proxy may be silent on its standard output.
#[derive(Clone, Copy)]
pub(super) struct Silence {
    /// Until its first byte: it reads its policy and makes its keys.
    start: Duration,
    /// Between two bytes. It says one each second; busy processors delay that, by less than this.
    running: Duration,
}

impl Silence {
    pub(super) const USUAL: Self = Self {
        start: Duration::from_secs(60),
        running: Duration::from_secs(15),
    };
}

/// Runs the proxy, again and again, until `end`. One that has gone silent is killed: it is stopped or stuck, and
/// nothing of the guest's gets out through it.
pub(super) async fn keep(
    spec: Spec,
    silence: Silence,
    board: &Board,
    end: impl Future<Output = ()>,
) {
    let mut end = std::pin::pin!(end);
    let [shortest, longest] = PAUSES;
    let mut pause = shortest;
    loop {
        let began = Instant::now();
        if let Ok(mut proxy) = start(&spec) {
            let beats = proxy.stdout.take();
            tokio::select! {
                _ = proxy.wait() => {}
                () = stuck(beats, silence) => {
                    board.note("the proxy was stuck and has been started again".to_owned());
                    let _ = proxy.kill().await;
                }
                () = &mut end => return dismiss(proxy).await,
            }
        }
        pause = if began.elapsed() >= HEALTHY {
            shortest
        } else {
            (pause * 2).min(longest)
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = &mut end => return,
        }
    }
}

/// Completes when the proxy has said nothing for too long. A byte that waits to be read counts, so that a supervisor
/// that was held up itself does not blame the proxy for it.
async fn stuck(beats: Option<ChildStdout>, silence: Silence) {
    let Some(mut beats) = beats else {
        return std::future::pending().await;
    };
    let mut patience = silence.start;
    while let Ok(read) = timeout(patience, beats.read(&mut [0; 64])).await {
        match read {
            Ok(1..) => patience = silence.running,
            // Its end is the end of the process.
            _ => return std::future::pending().await,
        }
    }
}

/// Asks the proxy to end, and ends it if it does not.
async fn dismiss(mut proxy: Child) {
    if let Some(pid) = proxy.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(FAREWELL, proxy.wait()).await.is_err() {
        let _ = proxy.kill().await;
    }
}

fn start(spec: &Spec) -> std::io::Result<Child> {
    let Some((program, arguments)) = spec.proxy_command.split_first() else {
        return Err(std::io::ErrorKind::NotFound.into());
    };
    // Overwritten at each start: it can't grow without end, and the latest complaint is the one to read.
    let complaints = File::create(spec.state_dir.join("proxy.err"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(input(spec)?)
        .stdout(Stdio::piped())
        .stderr(complaints)
        .kill_on_drop(true);
    let parent = super::own_pid();
    // SAFETY: between fork and exec only system calls are made, without memory being allocated.
    unsafe {
        command.pre_exec(move || die_with(parent));
    }
    command.spawn()
}

/// What was inherited for the proxy is for no other child.
pub(super) fn keep_input(spec: &Spec) -> std::io::Result<()> {
    let Some(descriptor) = spec.proxy_input else {
        return Ok(());
    };
    // SAFETY: nobody in this process closes a descriptor that was inherited under a number.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    Ok(rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)?)
}

/// A descriptor of its own for each proxy: `/proc` opens the file anew, from its beginning.
fn input(spec: &Spec) -> std::io::Result<Stdio> {
    match spec.proxy_input {
        None => Ok(Stdio::null()),
        Some(descriptor) => File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/self/fd/{descriptor}"))
            .map(Stdio::from),
    }
}

/// The proxy is not a helper of ours, so it is bound to the supervisor from here.
fn die_with(parent: i32) -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let alive = rustix::process::getppid().map(Pid::as_raw_nonzero);
    if alive.is_some_and(|pid| pid.get() == parent) {
        return Ok(());
    }
    Err(std::io::ErrorKind::NotConnected.into())
}

#[cfg(test)]
mod tests;
