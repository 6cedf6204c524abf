//! The handshake over a port.
//!
//! Both functions take the buffered side of the port, because the bytes behind the last record belong
//! to the conversation and stay in the buffer for it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::{Guest, Host, Nonce, Record, Step};

/// How long the host waits for an answer before it asks again; each time twice as long, up to
/// [`REPEAT_AT_MOST`]. A guest that boots finds a handful of questions waiting, not hundreds.
const REPEAT_FIRST: Duration = Duration::from_millis(25);

/// The longest wait between two questions.
const REPEAT_AT_MOST: Duration = Duration::from_millis(400);

/// From which question on the host sends [`FLUSH`] first, and then before every so many: about every
/// two seconds.
const FLUSH_EVERY: u32 = 5;

/// Fills up a frame of the old conversation whose end will never come, for a guest that missed the
/// hang-up and would read our records as that frame's body. Yamux bodies from our side are at most
/// 16 KiB; 0xff is no yamux version, so what is left of it ends the old conversation with an error.
static FLUSH: [u8; 16 * 1024 + 12] = [0xff; 16 * 1024 + 12];

/// Starts a conversation as the host. Does not give up by itself; wrap it in a timeout.
pub async fn host<S>(port: &mut S, nonce: Nonce) -> io::Result<()>
where
    S: AsyncBufRead + AsyncWrite + Unpin,
{
    let mut side = Host::new(nonce);
    let mut asked = 0;
    let mut ask_at = Instant::now();
    let mut pause = REPEAT_FIRST;
    loop {
        if let Some(opening) = side.opening().filter(|_| ask_at <= Instant::now()) {
            asked += 1;
            if asked % FLUSH_EVERY == 0 {
                port.write_all(&FLUSH).await?;
            }
            send(port, opening).await?;
            ask_at = Instant::now() + pause;
            pause = REPEAT_AT_MOST.min(pause * 2);
        }
        let step = tokio::select! {
            step = next_step(port, |byte| side.push(byte)) => step?,
            () = sleep_until(ask_at), if side.opening().is_some() => continue,
        };
        match step {
            Step::Send(record) => send(port, record).await?,
            Step::Begin(last) => return finish(port, last).await,
        }
    }
}

/// Waits for a host and starts the conversation that it asks for.
pub async fn guest<S>(port: &mut S) -> io::Result<()>
where
    S: AsyncBufRead + AsyncWrite + Unpin,
{
    let mut side = Guest::default();
    loop {
        match next_step(port, |byte| side.push(byte)).await? {
            Step::Send(record) => send(port, record).await?,
            Step::Begin(last) => return finish(port, last).await,
        }
    }
}

/// Reads until a byte asks for something. Cancel safe: a byte is consumed only when it was pushed.
async fn next_step<S>(port: &mut S, mut push: impl FnMut(u8) -> Option<Step>) -> io::Result<Step>
where
    S: AsyncBufRead + Unpin,
{
    loop {
        let bytes = port.fill_buf().await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let total = bytes.len();
        let found = bytes
            .iter()
            .enumerate()
            .find_map(|(at, &byte)| push(byte).map(|step| (at + 1, step)));
        match found {
            Some((used, step)) => {
                port.consume(used);
                return Ok(step);
            }
            None => port.consume(total),
        }
    }
}

async fn send<S: AsyncWrite + Unpin>(port: &mut S, record: Record) -> io::Result<()> {
    port.write_all(&record.encode()).await?;
    port.flush().await
}

async fn finish<S: AsyncWrite + Unpin>(port: &mut S, last: Option<Record>) -> io::Result<()> {
    match last {
        Some(record) => send(port, record).await,
        None => Ok(()),
    }
}
