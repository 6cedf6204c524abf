//! A program's frames, from and to any streams.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite};
use wire::exec::{Exit, HostCodec, ToGuest, ToHost};

use super::keys::{Input, Next};
use super::window::Window;
use super::{AttachError, Event};

/// What a program gets that writes to a pipe nobody reads.
const SIGPIPE: u8 = 13;

/// How long the guest may take to close once it was told that we leave.
const FAREWELL: Duration = Duration::from_secs(5);

/// Carries a conversation to its end: `input` until it ends (`None` means that there never was any),
/// output to `out` and `err`, and `events` as they happen.
pub async fn converse<S, O, E>(
    stream: S,
    input: Option<Input>,
    out: O,
    err: E,
    events: impl Stream<Item = Event> + Unpin,
) -> Result<Exit, AttachError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let (reader, writer) = tokio::io::split(stream);
    let window = Window::default();
    let left = AtomicBool::new(false);
    // Two halves, so that a signal gets through while the output is blocked.
    let ended = tokio::select! {
        biased;
        heard = hear(FramedRead::new(reader, HostCodec), out, err, &window) => heard,
        said = say(FramedWrite::new(writer, HostCodec), input, &window, events, &left) => said,
    };
    match ended {
        Err(AttachError::Gone) if left.load(Ordering::Relaxed) => Err(AttachError::Detached),
        ended => ended,
    }
}

/// Waits until a program that runs on by itself has started.
pub async fn started<S: AsyncRead + Unpin>(stream: S) -> Result<(), AttachError> {
    match FramedRead::new(stream, HostCodec)
        .next()
        .await
        .transpose()?
    {
        Some(ToHost::Started) => Ok(()),
        Some(ToHost::Error(error)) => Err(error.into()),
        Some(_) | None => Err(AttachError::Gone),
    }
}

/// Takes the guest's frames until the last.
async fn hear<S, O, E>(
    mut frames: FramedRead<ReadHalf<S>, HostCodec>,
    mut out: O,
    mut err: E,
    window: &Window,
) -> Result<Exit, AttachError>
where
    S: AsyncRead,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    while let Some(frame) = frames.next().await {
        let written = match frame? {
            ToHost::Started => Ok(()),
            ToHost::Stdout(bytes) => write(&mut out, &bytes).await,
            ToHost::Stderr(bytes) => write(&mut err, &bytes).await,
            ToHost::StdinTaken(count) => {
                window.give_back(count).map_err(|_| AttachError::Window)?;
                Ok(())
            }
            ToHost::Exit(exit) => return Ok(exit),
            ToHost::Error(error) => return Err(error.into()),
        };
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(Exit::Signal(SIGPIPE));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(AttachError::Gone)
}

async fn write<W: AsyncWrite + Unpin>(to: &mut W, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Sends what happens here. Ends only by an error, by the end of this process or by the user's leaving.
async fn say<S: AsyncWrite>(
    mut frames: FramedWrite<WriteHalf<S>, HostCodec>,
    mut input: Option<Input>,
    window: &Window,
    mut events: impl Stream<Item = Event> + Unpin,
    left: &AtomicBool,
) -> Result<Exit, AttachError> {
    let mut chunk: Option<Bytes> = None;
    let mut leaving = false;
    loop {
        if leaving && chunk.is_none() {
            left.store(true, Ordering::Relaxed);
            return leave(frames).await;
        }
        let frame = tokio::select! {
            Some(event) = events.next() => match event {
                Event::Resized { rows, cols } => ToGuest::Resize { rows, cols },
                Event::Signalled(signal) => ToGuest::Signal(signal),
                Event::Ended(signal) => return Ok(Exit::Signal(signal)),
            },
            read = next(&mut input), if chunk.is_none() => match read {
                Next::Bytes(bytes) => {
                    chunk = Some(bytes);
                    continue;
                }
                Next::Detach(bytes) => {
                    leaving = true;
                    chunk = Some(bytes).filter(|bytes| !bytes.is_empty());
                    continue;
                }
                Next::End => ToGuest::StdinEof,
            },
            () = window.take(chunk.as_ref().map_or(0, Bytes::len)), if chunk.is_some() => {
                ToGuest::Stdin(chunk.take().unwrap_or_default())
            }
        };
        if frames.send(frame).await.is_err() {
            // The guest has closed; what it said last is still to be heard.
            std::future::pending::<()>().await;
        }
    }
}

/// Says so, and gives the guest time to close: what was said is there then.
async fn leave<S: AsyncWrite>(
    mut frames: FramedWrite<WriteHalf<S>, HostCodec>,
) -> Result<Exit, AttachError> {
    if frames.send(ToGuest::Detach).await.is_ok() {
        tokio::time::sleep(FAREWELL).await;
    }
    Err(AttachError::Detached)
}

/// The next of the input, or once its end; then it waits for ever.
async fn next(input: &mut Option<Input>) -> Next {
    let Some(some) = input else {
        return std::future::pending().await;
    };
    let next = some.next().await;
    if next == Next::End {
        *input = None;
    }
    next
}
