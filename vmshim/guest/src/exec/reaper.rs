//! Collecting processes that ended.
//!
//! Process 1 inherits every orphan and must collect it. A plain "wait for any child" would also take
//! the exit codes that the exec server waits for, so there is one place that waits, for everybody.

use std::collections::HashMap;
use std::io;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, wait, waitpid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use wire::exec::Exit;

/// The one that waits. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reaper {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// Whether to collect children that were not started here.
    orphans: bool,
    running: Mutex<HashMap<Pid, oneshot::Sender<Exit>>>,
}

/// A program started by a [`Reaper`], the leader of its own process group.
#[derive(Debug)]
pub struct Child {
    /// To signal it.
    pub group: Group,
    exit: oneshot::Receiver<Exit>,
    /// The ends of its pipes, where the command asked for pipes.
    pub stdin: Option<std::process::ChildStdin>,
    /// Its output.
    pub stdout: Option<std::process::ChildStdout>,
    /// Its errors.
    pub stderr: Option<std::process::ChildStderr>,
}

impl Reaper {
    /// For process 1: collects every child.
    pub fn of_everything() -> io::Result<Self> {
        Self::start(true)
    }

    /// For a guest in a process: leaves children alone that it did not start.
    pub fn of_its_own() -> io::Result<Self> {
        Self::start(false)
    }

    fn start(orphans: bool) -> io::Result<Self> {
        let state = Arc::new(State {
            orphans,
            running: Mutex::default(),
        });
        let mut ended = signal(SignalKind::child())?;
        let reaper = Arc::clone(&state);
        tokio::spawn(async move {
            while ended.recv().await.is_some() {
                reaper.collect();
            }
        });
        Ok(Self { state })
    }

    /// Starts a program. The command must make it the leader of a process group.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // Locked until the program is known, lest it ends and is taken for an orphan before.
        let mut running = self.state.running();
        let mut child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
        let (ended, exit) = oneshot::channel();
        running.insert(pid, ended);
        Ok(Child {
            group: Group {
                leader: pid,
                reaper: self.clone(),
            },
            exit,
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        })
    }
}

impl State {
    /// Signals coalesce, so this collects all there is.
    fn collect(&self) {
        let mut running = self.running();
        if self.orphans {
            while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                Self::report(running.remove(&pid), status);
            }
            return;
        }
        let ended = |pid| waitpid(Some(pid), WaitOptions::NOHANG).ok().flatten();
        let all: Vec<_> = running.keys().copied().filter_map(ended).collect();
        for (pid, status) in all {
            Self::report(running.remove(&pid), status);
        }
    }

    fn report(waiting: Option<oneshot::Sender<Exit>>, status: WaitStatus) {
        if let (Some(waiting), Some(exit)) = (waiting, exit_of(status)) {
            let _ = waiting.send(exit); // a detached program has nobody waiting
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Pid, oneshot::Sender<Exit>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    let byte = |number: i32| u8::try_from(number).ok();
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => byte(code).map(Exit::Code),
        (None, Some(signal)) => byte(signal).map(Exit::Signal),
        (None, None) => None,
    }
}

impl Child {
    /// How it ended. Cancel safe; call it again only if it did not complete.
    pub async fn wait(&mut self) -> Exit {
        // The reaper lets go of a sender only after it has used it.
        (&mut self.exit).await.unwrap_or(Exit::Signal(9))
    }
}

/// The process group of a program.
#[derive(Debug, Clone)]
pub struct Group {
    leader: Pid,
    reaper: Reaper,
}

impl Group {
    /// Signals it, if its leader has not been collected: afterwards the number may be another's.
    pub fn signal(&self, signal: Signal) {
        if self.reaper.state.running().contains_key(&self.leader) {
            let _ = kill_process_group(self.leader, signal); // gone already is as good
        }
    }
}

/// Standard streams for a program that has nobody to talk to.
pub(super) fn silent(command: &mut Command) {
    command.stdin(Stdio::null());
    command.stdout(Stdio::null());
    command.stderr(Stdio::null());
}
