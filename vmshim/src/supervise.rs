//! The supervisor: one process for the life of one sandbox.
//!
//! It holds the sandbox's lock, starts the VMM, the servers of shared folders and the proxy, configures the guest,
//! answers callers on its socket, and takes everything away at the end. All its children die with it.

use std::sync::Arc;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use crate::control::Server;
use crate::lock::Lock;
use crate::spec::{STOP_GRACE, Socket, Spec};

mod board;
mod child;
mod console;
mod contained;
mod error;
mod life;
mod proxy;
mod publish;
mod runtime_dir;
mod shares;
mod vmm;
mod watch;

pub(crate) use board::Board;
pub use error::Error;
use runtime_dir::RuntimeDir;

/// Runs the sandbox until it ends. Blocks.
///
/// Call it in a process of its own that has a single thread: children are bound to the thread that started them.
/// An error is also what callers on the socket are told.
pub fn run(spec: Spec) -> Result<(), Error> {
    let started = Instant::now();
    spec.check()?;
    // Keys typed at the caller's terminal are not for the sandbox. Fails only for a group leader.
    let _ = rustix::process::setsid();
    let lock = Lock::take(&spec.lock())?;
    proxy::keep_input(&spec).map_err(Error::doing("keep the proxy's input"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::doing("start"))?;
    runtime.block_on(supervise(spec, lock, started))
}

async fn supervise(spec: Spec, lock: Lock, started: Instant) -> Result<(), Error> {
    let dir = RuntimeDir::create(&spec.runtime_dir)?;
    let board = Arc::new(Board::new(started));
    let socket = spec.socket(Socket::Control);
    let server = Server::start(&socket, Arc::clone(&board)).map_err(Error::doing("listen"))?;
    let signals = tokio::spawn(stop_on_signal(Arc::clone(&board))?);
    let outcome = life::live(&spec, &board).await;
    signals.abort();
    drop(dir);
    drop(lock);
    board.finish(&outcome);
    server.finish().await;
    outcome
}

/// SIGTERM and SIGINT stop the sandbox as a caller would.
fn stop_on_signal(board: Arc<Board>) -> Result<impl Future<Output = ()>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::doing("watch signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::doing("watch signals"))?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        board.stop(STOP_GRACE);
    })
}

/// This process, as children know it.
fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
