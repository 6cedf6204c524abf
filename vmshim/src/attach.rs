//! The caller's terminal and a program in the guest, connected.
//!
//! [`attach`] is for the command that the user typed: it puts the terminal in raw mode, carries
//! input, output, window size and signals, and returns how the program ended. [`converse`] is the same
//! without a terminal, over any streams.

mod events;
mod frames;
mod keys;
mod raw;
mod window;

use std::io;
use std::os::fd::AsFd;

use bytes::Bytes;
use rustix::termios::{isatty, tcgetwinsize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use wire::exec::{ExecError, Exit, FrameError};
use wire::message::{Exec, Tty};

pub use events::Event;
use events::{Source, signals};
pub use frames::{converse, started};
pub use keys::{BadKey, DetachKeys, Input};
use raw::RawMode;

/// One read of input, and so at most one frame.
const CHUNK: usize = 32 * 1024;

/// Why there is no exit code.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The program could not be started; [`wire::exec::ExecErrorKind::exit_code`] has Docker's code.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The user pressed the keys for that, and the program runs on.
    #[error("the program runs on by itself")]
    Detached,
    /// The sandbox stopped, or its supervisor ended.
    #[error("the sandbox went away while the program ran")]
    Gone,
    /// What arrived are no frames.
    #[error("the connection to the sandbox broke")]
    Frame(#[from] FrameError),
    /// The guest acknowledged more input than it was sent.
    #[error("the guest broke the exec protocol")]
    Window,
    /// The caller's own terminal, input or output failed.
    #[error("the terminal or the output of this command failed")]
    Local(#[from] io::Error),
}

/// The caller's terminal for a request, or an error if there is none.
pub fn local_tty() -> io::Result<Tty> {
    let size = tcgetwinsize(rustix::stdio::stdin())?;
    Ok(Tty {
        rows: size.ws_row,
        cols: size.ws_col,
        term: std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned()),
    })
}

/// Whether standard input is a terminal, which `-t` needs.
#[must_use]
pub fn stdin_is_tty() -> bool {
    isatty(rustix::stdio::stdin().as_fd())
}

/// Connects this process's standard streams with the program that the stream was opened for; one that
/// is detached is only seen to start. At a terminal, `keys` let it run on. The terminal is as before when this returns,
/// fails, panics or is cancelled.
pub async fn attach<S>(
    stream: S,
    exec: &Exec,
    keys: Option<DetachKeys>,
) -> Result<Exit, AttachError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if exec.detach {
        return started(stream).await.map(|()| Exit::Code(0));
    }
    let source = match exec.tty {
        Some(_) => Source::Terminal,
        None => Source::Process,
    };
    let events = signals(source)?;
    let _raw = match source {
        Source::Terminal if stdin_is_tty() => Some(RawMode::enter()?),
        Source::Terminal | Source::Process => None,
    };
    let keys = keys.filter(|_| source == Source::Terminal);
    let input = exec.stdin.then(read_stdin).map(|chunks| match keys {
        Some(keys) => Input::new(chunks, keys),
        None => chunks.into(),
    });
    converse(
        stream,
        input,
        tokio::io::stdout(),
        tokio::io::stderr(),
        events,
    )
    .await
}

/// Reads standard input in a thread of its own, which cannot be stopped and therefore is not waited
/// for: making the descriptor non-blocking would also change it for the shell that shares it.
fn read_stdin() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut chunk))
            {
                Ok(count @ 1..) => {
                    let bytes = chunk.get(..count).unwrap_or_default();
                    if sender.blocking_send(Bytes::copy_from_slice(bytes)).is_err() {
                        return;
                    }
                }
                Ok(0) | Err(_) => return, // the end of the channel is the end of input
            }
        }
    });
    receiver
}
