//! The one function that connects.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cause::DialError;
use crate::gate::Permit;

/// Head start of one address over the next (RFC 8305 §8).
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first of `permits` that answers, each started a little after the one before, all within `deadline`.
pub(crate) async fn dial(
    permits: &[Permit],
    deadline: Duration,
) -> Result<(TcpStream, Permit), DialError> {
    match timeout(deadline, race(permits)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(DialError::Timeout),
    }
}

async fn race(permits: &[Permit]) -> Result<(TcpStream, Permit), DialError> {
    let mut waiting = permits.iter();
    let Some(first) = waiting.next() else {
        return Err(DialError::Unreachable);
    };
    if waiting.as_slice().is_empty() {
        return Ok((connect(first).await.map_err(cause)?, first.clone()));
    }
    // Dropping the set aborts what is still connecting.
    let mut racing = JoinSet::new();
    racing.spawn(attempt(first.clone()));
    let mut last = DialError::Unreachable;
    loop {
        tokio::select! {
            Some(Ok((permit, outcome))) = racing.join_next() => match outcome {
                Ok(stream) => return Ok((stream, permit)),
                Err(error) => {
                    last = cause(error);
                    match waiting.next() {
                        Some(next) => drop(racing.spawn(attempt(next.clone()))),
                        None if racing.is_empty() => return Err(last),
                        None => {}
                    }
                }
            },
            () = sleep(STAGGER), if !waiting.as_slice().is_empty() => {
                if let Some(next) = waiting.next() {
                    racing.spawn(attempt(next.clone()));
                }
            }
            else => return Err(last),
        }
    }
}

async fn attempt(permit: Permit) -> (Permit, io::Result<TcpStream>) {
    let outcome = connect(&permit).await;
    (permit, outcome)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that connects, and it holds a permit"
)]
async fn connect(permit: &Permit) -> io::Result<TcpStream> {
    // One that only a parent can resolve leads nowhere from here.
    let address = permit.address();
    let address = address.ok_or(io::ErrorKind::Unsupported)?;
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    let stream = socket.connect(address).await?;
    if stream.local_addr()? == address {
        // TCP lets a socket connect to itself when the port happens to be its own.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn cause(error: io::Error) -> DialError {
    match Errno::from_io_error(&error) {
        Some(Errno::CONNREFUSED) => DialError::Refused,
        Some(Errno::TIMEDOUT) => DialError::Timeout,
        Some(Errno::NETUNREACH | Errno::HOSTUNREACH) => DialError::Unreachable,
        Some(Errno::ADDRNOTAVAIL) => DialError::NoPort,
        Some(Errno::MFILE | Errno::NFILE) => DialError::NoDescriptor,
        Some(Errno::NOBUFS | Errno::NOMEM) => DialError::NoMemory,
        _ => match error.kind() {
            io::ErrorKind::ConnectionRefused => DialError::Refused,
            kind => DialError::Other(kind),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

    /// F19
    #[test]
    fn what_runs_out_has_a_word_of_its_own() {
        let rows = [
            (Errno::CONNREFUSED, "connect-refused"),
            (Errno::TIMEDOUT, "connect-timeout"),
            (Errno::NETUNREACH, "connect-unreachable"),
            (Errno::HOSTUNREACH, "connect-unreachable"),
            (Errno::ADDRNOTAVAIL, "connect-no-port"),
            (Errno::MFILE, "connect-no-descriptor"),
            (Errno::NFILE, "connect-no-descriptor"),
            (Errno::NOBUFS, "connect-no-memory"),
            (Errno::NOMEM, "connect-no-memory"),
            (Errno::AGAIN, "connect-failed"),
            (Errno::ACCESS, "connect-failed"),
        ];
        for (errno, code) in rows {
            let cause = Cause::Dial(cause(errno.into()));
            assert_eq!(cause.facts().code, code, "{errno:?}");
            assert!(cause.is_retryable(), "{errno:?}");
        }
    }
}
