//! The supervisor's own socket: one request a connection, JSON lines, owner only.
//!
//! ```text
//! {"op":"status"}   ◄ Status
//! {"op":"watch"}    ◄ Status at once and at every change, until the sandbox has ended
//! {"op":"stop"}     ◄ the same, after asking the sandbox to stop; closed when nothing of it is left
//! {"op":"exec",…}   ◄ "ok", then the frames of `wire::exec`, both ways
//! ```

use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::message::Exec;

mod server;

pub(crate) use server::Server;

/// The longest line either side believes in, in bytes.
/// An exec request holds a command line and an environment.
const LONGEST_LINE: u64 = 1 << 20;

/// What a caller asks of a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Request {
    /// How are you?
    Status,
    /// Tell me whenever that changes.
    Watch,
    /// End the sandbox.
    Stop {
        /// How long the guest may take to end by itself, in milliseconds.
        grace_ms: u64,
    },
    /// Run a program in the guest.
    Exec {
        /// The program.
        exec: Exec,
    },
}

impl Request {
    /// A request to stop.
    pub(crate) fn stop(grace: Duration) -> Self {
        Self::Stop {
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The answer to [`Request::Exec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExecReply {
    /// The stream follows.
    Ok,
    /// Why there is none; the connection ends.
    Refused(String),
}

/// Reads one line, or `None` at the end.
pub(crate) async fn read_line<T, R>(from: &mut R) -> io::Result<Option<T>>
where
    T: DeserializeOwned,
    R: AsyncBufRead + Unpin,
{
    let mut line = Vec::new();
    from.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(serde_json::from_slice(&line)?)),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes one line.
pub(crate) async fn write_line<T, W>(to: &mut W, message: &T) -> io::Result<()>
where
    T: Serialize,
    W: AsyncWrite + Unpin,
{
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn line_rows() {
        let long = format!("{{\"op\":\"{}\"}}\n", "x".repeat(2 << 20));
        type Row<'a> = (&'a [u8], Result<Option<Request>, io::ErrorKind>);
        let rows: [Row<'_>; 7] = [
            (b"{\"op\":\"status\"}\n", Ok(Some(Request::Status))),
            (
                b"{\"op\":\"stop\",\"grace_ms\":5}\n",
                Ok(Some(Request::Stop { grace_ms: 5 })),
            ),
            (b"", Ok(None)),
            (b"{\"op\":\"status\"}", Err(io::ErrorKind::UnexpectedEof)),
            (b"{\"op\":\"dance\"}\n", Err(io::ErrorKind::InvalidData)),
            (b"\xff\xfe\n", Err(io::ErrorKind::InvalidData)),
            (long.as_bytes(), Err(io::ErrorKind::UnexpectedEof)),
        ];
        for (mut bytes, wanted) in rows {
            let got = read_line(&mut bytes).await.map_err(|error| error.kind());
            assert_eq!(got, wanted);
        }
    }
}
