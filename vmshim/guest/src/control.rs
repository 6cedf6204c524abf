//! Answering the host.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::SinkExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::FramedWrite;
use wire::PROTOCOL;
use wire::exec::{ExecError, ExecErrorKind, GuestCodec, ToHost};
use wire::message::{self, Change, Configure, Exec, Hello, MessageError, Reply, Request, Timings};

use crate::boot::{Booted, uptime_ms};
use crate::docker::Docker;
use crate::exec::{Context, Reaper, SessionError};
use crate::{configure, console, exec, notice, relay, stop};

/// How long the machine waits, before it stops, for the host to have heard that it does.
const HEARD: Duration = Duration::from_millis(500);

/// This machine.
#[derive(Debug)]
pub struct Guest {
    booted: Booted,
    reaper: Reaper,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    timings: Timings,
    phase: Phase,
}

#[derive(Debug, Clone)]
enum Phase {
    Booted,
    Ready(Context),
    Stopping,
}

/// Why a request was not served to its end.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a program's session ended early")]
    Session(#[from] SessionError),
    #[error("an answer could not be sent")]
    Answer(#[from] wire::exec::FrameError),
}

impl Guest {
    /// A machine that is booted and not yet configured.
    #[must_use]
    pub fn new(booted: Booted, reaper: Reaper) -> Self {
        let state = State {
            timings: booted.timings,
            phase: Phase::Booted,
        };
        Self {
            booted,
            reaper,
            state: Mutex::new(state),
        }
    }

    /// Notes when the first host process was heard.
    pub fn host_heard(&self, uptime_ms: u64) {
        self.state().timings.host_ms.get_or_insert(uptime_ms);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> Phase {
        self.state().phase.clone()
    }

    fn hello(&self) -> Hello {
        Hello {
            protocol: PROTOCOL,
            kernel: kernel_release(),
            configured: !matches!(self.phase(), Phase::Booted),
            timings: self.state().timings,
        }
    }

    /// Applies the configuration, once.
    fn configure(&self, config: &Configure) -> Result<Timings, String> {
        if !matches!(self.phase(), Phase::Booted) {
            return Err("this sandbox is configured already".to_owned());
        }
        let env =
            configure::apply(config, &self.booted.machine).map_err(|error| error.to_string())?;
        let context = Context {
            reaper: self.reaper.clone(),
            env,
            user: config.user.name.clone(),
        };
        self.offer_docker(&context, config.user.gid);
        let mut state = self.state();
        state.timings.ready_ms = Some(uptime_ms());
        state.phase = Phase::Ready(context);
        Ok(state.timings)
    }

    /// A sandbox works without it.
    fn offer_docker(&self, context: &Context, group: u32) {
        let Some(modules) = self.booted.machine.docker_modules() else {
            return;
        };
        match Docker::find(context, modules, group) {
            Ok(Some(docker)) => drop(tokio::spawn(docker.keep())),
            Ok(None) => {}
            Err(error) => console::error("the Docker daemon cannot be used", &error),
        }
    }
}

/// Serves one control stream.
pub async fn answer<S>(stream: S, guest: Arc<Guest>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match serve(stream, &guest).await {
        Ok(()) | Err(ControlError::Session(SessionError::HostGone)) => {}
        Err(error) => console::error("control", &error),
    }
}

async fn serve<S>(mut stream: S, guest: &Guest) -> Result<(), ControlError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match message::read(&mut stream).await? {
        Request::Boot => boot(stream, guest).await,
        Request::Exec(request) => run(stream, &request, guest).await,
        Request::Reach { port } => reach(stream, port).await,
        Request::Changed(changes) => tell(stream, changes).await,
        Request::Shutdown { grace_ms } => {
            guest.state().phase = Phase::Stopping;
            message::write(&mut stream, &Reply::Stopping).await?;
            let _ = stream.shutdown().await; // it stops with or without a listener
            let _ = timeout(HEARD, stream.read_u8()).await; // the host closes once it has heard
            stop::stop(&guest.booted, Duration::from_millis(grace_ms.into())).await;
            Ok(())
        }
    }
}

async fn boot<S>(mut stream: S, guest: &Guest) -> Result<(), ControlError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    message::write(&mut stream, &Reply::Hello(guest.hello())).await?;
    let config: Configure = message::read(&mut stream).await?;
    let reply = match guest.configure(&config) {
        Ok(timings) => Reply::Ready(timings),
        Err(sentence) => Reply::Failed(sentence),
    };
    message::write(&mut stream, &reply).await?;
    stream.shutdown().await.map_err(MessageError::Io)?;
    Ok(())
}

fn kernel_release() -> String {
    let name = rustix::system::uname();
    name.release().to_string_lossy().into_owned()
}

/// Makes the kernel say what the host has changed.
async fn tell<S>(mut stream: S, changes: Vec<Change>) -> Result<(), ControlError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let told = tokio::task::spawn_blocking(move || notice::announce(&changes));
    if let Ok(Err(error)) = told.await {
        console::error("changes of the host cannot be told", &error);
    }
    message::write(&mut stream, &Reply::Told).await?;
    Ok(stream.shutdown().await.map_err(MessageError::Io)?)
}

/// Joins the stream to a port of this machine.
async fn reach<S>(mut stream: S, port: u16) -> Result<(), ControlError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut tcp = match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(tcp) => tcp,
        Err(error) => {
            let sentence = format!("nothing answers on port {port}: {error}");
            message::write(&mut stream, &Reply::Failed(sentence)).await?;
            return Ok(stream.shutdown().await.map_err(MessageError::Io)?);
        }
    };
    message::write(&mut stream, &Reply::Reached).await?;
    // How it ends is told to both ends by how their own halves end.
    let carried = relay::exchange(&mut tcp, stream).await;
    relay::end(&tcp, carried);
    Ok(())
}

async fn run<S>(stream: S, request: &Exec, guest: &Guest) -> Result<(), ControlError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let message = match guest.phase() {
        Phase::Ready(context) => return Ok(exec::serve(stream, request, &context).await?),
        Phase::Booted => "the sandbox is not ready yet",
        Phase::Stopping => "the sandbox is stopping",
    };
    let error = ExecError {
        kind: ExecErrorKind::NotReady,
        message: message.to_owned(),
    };
    let mut frames = FramedWrite::new(stream, GuestCodec);
    frames.send(ToHost::Error(error)).await?;
    Ok(frames.close().await?)
}
