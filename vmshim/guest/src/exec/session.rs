//! One program, from request to exit code.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, FramedWrite};
use wire::exec::{FrameError, GuestCodec, ToGuest, ToHost};
use wire::message::Exec;

use super::pump::{self, Input, TooMuchInput};
use super::spawn::{Started, start};
use super::terminal::resize;
use super::{Child, Context, Group, StartError};
use crate::device::Device;

/// Frames that wait for the host. Small: behind it the program waits, which is the point.
const BACKLOG: usize = 4;

/// How long a program has after SIGHUP when its host has gone.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a session ended before its program did.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The host closed the stream.
    #[error("the host has gone")]
    HostGone,
    /// The stream failed or carried something else than frames.
    #[error("the exec stream broke")]
    Frame(#[from] FrameError),
    /// The host does not keep to its window.
    #[error("the host broke the exec protocol")]
    Input(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The program's pipes failed.
    #[error("the program's output failed")]
    Output(#[from] io::Error),
}

impl From<TooMuchInput> for SessionError {
    fn from(error: TooMuchInput) -> Self {
        Self::Input(Box::new(error))
    }
}

type Reader<S> = FramedRead<ReadHalf<S>, GuestCodec>;
type Writer<S> = FramedWrite<WriteHalf<S>, GuestCodec>;

/// Runs a program for the host at the other end of the stream. When the host goes, the program goes,
/// unless it is or was detached.
pub async fn serve<S>(stream: S, exec: &Exec, context: &Context) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite,
{
    let (reader, writer) = tokio::io::split(stream);
    let reader = FramedRead::new(reader, GuestCodec);
    let mut writer = FramedWrite::new(writer, GuestCodec);
    let started = start(exec, context).and_then(|started| Ok(Session::new(started)?));
    let mut session = match started {
        Ok(session) => session,
        Err(error) => return refuse(writer, error).await,
    };
    writer.send(ToHost::Started).await?;
    if exec.detach {
        return Ok(writer.close().await?);
    }
    let result = session.run(reader, writer).await;
    if result.is_err() {
        session.end().await;
    }
    result
}

async fn refuse<S: AsyncWrite>(
    mut writer: Writer<S>,
    error: StartError,
) -> Result<(), SessionError> {
    writer.send(ToHost::Error(error.into())).await?;
    Ok(writer.close().await?)
}

/// A running program and its streams.
struct Session {
    child: Child,
    /// A second handle on the terminal, to resize it.
    terminal: Option<OwnedFd>,
    stdin: Option<Device>,
    stdout: Option<Device>,
    stderr: Option<Device>,
}

impl Session {
    fn new(Started { mut child, master }: Started) -> io::Result<Self> {
        let device = |fd: Option<OwnedFd>| fd.map(Device::new).transpose();
        let copy = |fd: &Option<OwnedFd>| fd.as_ref().map(OwnedFd::try_clone).transpose();
        let stdin = child.stdin.take().map(OwnedFd::from);
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        Ok(Self {
            terminal: copy(&master)?,
            stdin: device(stdin.or(copy(&master)?))?,
            stdout: device(stdout.or(master))?,
            stderr: device(stderr)?,
            child,
        })
    }

    /// Everything at once, in one task: what the host says, what the program takes, what it says, and
    /// that it ends. COST: no task is left behind when one of them fails.
    async fn run<S>(&mut self, reader: Reader<S>, writer: Writer<S>) -> Result<(), SessionError>
    where
        S: AsyncRead + AsyncWrite,
    {
        let (frames, backlog) = mpsc::channel(BACKLOG);
        let (ended, when_ended) = watch::channel(false);
        let (leave, left) = watch::channel(false);
        let input = Input::default();
        let stdin = input.pump(self.stdin.take(), frames.clone());
        let output = |device: Option<Device>, frame: fn(_) -> _| {
            let (frames, ended) = (frames.clone(), when_ended.clone());
            async move {
                match device {
                    Some(device) => pump::output(device, frame, frames, ended).await,
                    None => Ok(()),
                }
            }
        };
        let stdout = output(self.stdout.take(), ToHost::Stdout);
        let stderr = output(self.stderr.take(), ToHost::Stderr);
        let group = self.child.group.clone();
        let host = listen(reader, &input, &group, self.terminal.as_ref(), &leave);
        let child = &mut self.child;
        let program = async {
            let exit = async {
                let exit = child.wait().await;
                ended.send_replace(true);
                Ok(exit)
            };
            let (exit, (), ()) = tokio::try_join!(exit, stdout, stderr)?;
            let _ = frames.send(ToHost::Exit(exit)).await; // fails only if speaking did
            Ok(())
        };
        let speech = async { tokio::try_join!(program, speak(writer, backlog, left)) };
        tokio::select! {
            result = speech => result.map(|_| ()),
            error = host => Err(error),
            () = async { stdin.await; std::future::pending().await } => Ok(()),
        }
    }

    /// Ends a program whose host has gone: a hang-up, as a modem would have it, then by force.
    async fn end(&mut self) {
        self.terminal = None;
        self.child.group.signal(Signal::HUP);
        self.child.group.signal(Signal::CONT);
        if timeout(LAST_WORDS, self.child.wait()).await.is_err() {
            self.child.group.signal(Signal::KILL);
            self.child.wait().await;
        }
    }
}

/// Does what the host says, until it says no more. Once it has left, nobody is listened to.
async fn listen<S: AsyncRead>(
    mut reader: Reader<S>,
    input: &Input,
    group: &Group,
    terminal: Option<&OwnedFd>,
    leave: &watch::Sender<bool>,
) -> SessionError {
    loop {
        let frame = match reader.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return error.into(),
            None => return SessionError::HostGone,
        };
        match frame {
            ToGuest::Stdin(chunk) => {
                if let Err(error) = input.push(chunk) {
                    return error.into();
                }
            }
            ToGuest::StdinEof if terminal.is_some() => {}
            ToGuest::StdinEof => input.end(),
            ToGuest::Resize { rows, cols } => {
                if let Some(terminal) = terminal {
                    let _ = resize(&terminal.as_fd(), rows, cols); // the size is a courtesy
                }
            }
            ToGuest::Signal(number) => {
                if let Some(signal) = Signal::from_named_raw(i32::from(number)) {
                    group.signal(signal);
                }
            }
            ToGuest::Detach => {
                leave.send_replace(true);
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Sends what the program says, the last of which is how it ended; once the host has left, to nobody.
async fn speak<S: AsyncWrite>(
    mut writer: Writer<S>,
    mut backlog: mpsc::Receiver<ToHost>,
    mut left: watch::Receiver<bool>,
) -> Result<(), SessionError> {
    let told = tokio::select! {
        told = tell(&mut writer, &mut backlog) => Some(told),
        _ = left.wait_for(|&left| left) => None,
    };
    match told {
        Some(told) => {
            told?;
            Ok(writer.close().await?)
        }
        None => {
            // Where the host no longer reads, there is nobody to say goodbye to.
            let _ = timeout(LAST_WORDS, writer.close()).await;
            while let Some(frame) = backlog.recv().await {
                if matches!(frame, ToHost::Exit(_)) {
                    break;
                }
            }
            Ok(())
        }
    }
}

async fn tell<S: AsyncWrite>(
    writer: &mut Writer<S>,
    backlog: &mut mpsc::Receiver<ToHost>,
) -> Result<(), SessionError> {
    while let Some(frame) = backlog.recv().await {
        let last = matches!(frame, ToHost::Exit(_));
        writer.send(frame).await?;
        if last {
            break;
        }
    }
    Ok(())
}
