//! The asking side. Blocking, so that a command needs no runtime.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use secrecy::zeroize::Zeroizing;

use super::{Request, Status};
use crate::credentials::Handed;

/// Time to wait for an answer: a reload of a long list takes a while.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a proxy could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens, or the conversation broke off.
    #[error("cannot talk to the proxy at `{}`", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The answer is none of ours.
    #[error("the proxy's answer cannot be understood")]
    Answer(#[from] serde_json::Error),
    /// The policy file is wrong; an older policy stays in force. The text has line and column.
    #[error("{0}")]
    Refused(String),
}

/// Makes the proxy at `socket` read its policy file now. When this returns, every new decision is by the new policy.
pub fn reload(socket: &Path) -> Result<Status, AdminError> {
    let status = ask(socket, Request::Reload)?;
    match status.degraded {
        Some(error) => Err(AdminError::Refused(error)),
        None => Ok(status),
    }
}

/// Asks the proxy at `socket` how it is.
pub fn status(socket: &Path) -> Result<Status, AdminError> {
    ask(socket, Request::Status)
}

/// Gives the proxy at `socket` other secrets in the place of those handed over at its start. They hold for the next
/// request, and for the proxy's successor.
pub fn credentials(socket: &Path, handed: &Handed) -> Result<Status, AdminError> {
    let exposed = handed.names().filter_map(|name| {
        let value = handed.get(name)?.expose_secret();
        Some((name.to_owned(), value.to_owned()))
    });
    let set = exposed.collect();
    ask(socket, Request::Credentials { set })
}

fn ask(socket: &Path, request: Request) -> Result<Status, AdminError> {
    let io_error = |source| AdminError::Io {
        path: socket.to_owned(),
        source,
    };
    let question = Zeroizing::new(serde_json::to_string(&request)?);
    let answer = converse(socket, &question).map_err(io_error)?;
    Ok(serde_json::from_str(&answer)?)
}

fn converse(socket: &Path, question: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    writeln!(stream, "{question}")?;
    let mut answer = String::new();
    match BufReader::new(stream).read_line(&mut answer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}
