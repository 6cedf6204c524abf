//! Talks to the supervisor of a running sandbox.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::UnixStream;
use wire::message::Exec;

use crate::control::{ExecReply, Request, read_line, write_line};
use crate::progress::{Event, Progress};
use crate::spec::Socket;
use crate::status::{State, Status};

/// Why a running sandbox did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no supervisor.
    #[error("the sandbox is not running")]
    NotRunning,
    /// It could not be started.
    #[error("{message}")]
    Failed {
        /// The supervisor's sentence.
        message: String,
        /// The supervisor's advice.
        help: Option<String>,
    },
    /// It was stopped while something else was wanted.
    #[error("the sandbox was stopped")]
    Stopped,
    /// The program was not even asked for.
    #[error("{0}")]
    Refused(String),
    /// The supervisor ended in the middle of a sentence.
    #[error("the sandbox's supervisor ended unexpectedly")]
    Lost(#[source] io::Error),
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Failed { help, .. } => help.clone(),
            Self::NotRunning | Self::Stopped | Self::Refused(_) | Self::Lost(_) => None,
        }
    }
}

/// The supervisor of one sandbox. Each request is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// The frames of a program in the guest; [`crate::attach`] is for it.
pub type ExecStream = BufReader<UnixStream>;

impl Client {
    /// The supervisor whose sockets are in `runtime_dir`, if it listens.
    pub async fn connect(runtime_dir: &Path) -> Result<Self, Error> {
        let client = Self {
            socket: Socket::Control.path(runtime_dir),
        };
        client.status().await?;
        Ok(client)
    }

    /// What the sandbox is doing.
    pub async fn status(&self) -> Result<Status, Error> {
        let mut supervisor = self.ask(Request::Status).await?;
        next(&mut supervisor).await
    }

    /// Waits until programs can run, and tells `progress` what is going on meanwhile.
    pub async fn wait_ready(&self, progress: &dyn Progress) -> Result<Status, Error> {
        let mut supervisor = self.ask(Request::Watch).await?;
        let mut told = Told::default();
        loop {
            let status = next(&mut supervisor).await?;
            told.tell(&status, progress);
            match status.state {
                State::Ready => return Ok(status),
                State::Failed { message, help } => return Err(Error::Failed { message, help }),
                State::Stopping | State::Stopped => return Err(Error::Stopped),
                State::Starting { .. } => {}
            }
        }
    }

    /// Runs a program in the guest.
    pub async fn exec(&self, exec: &Exec) -> Result<ExecStream, Error> {
        let mut supervisor = self.ask(Request::Exec { exec: exec.clone() }).await?;
        match next(&mut supervisor).await? {
            ExecReply::Ok => Ok(supervisor),
            ExecReply::Refused(reason) => Err(Error::Refused(reason)),
        }
    }

    /// Stops the sandbox and returns when nothing of it is left: no process, no socket, no lock.
    pub async fn stop(&self, grace: Duration) -> Result<(), Error> {
        let mut supervisor = self.ask(Request::stop(grace)).await?;
        // The supervisor's end, however it comes, is what was wanted.
        while let Ok(Some(_)) = read_line::<Status, _>(&mut supervisor).await {}
        Ok(())
    }

    async fn ask(&self, request: Request) -> Result<BufReader<UnixStream>, Error> {
        let stream =
            UnixStream::connect(&self.socket)
                .await
                .map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NotRunning,
                    _ => Error::Lost(error),
                })?;
        let mut supervisor = BufReader::new(stream);
        write_line(&mut supervisor, &request)
            .await
            .map_err(Error::Lost)?;
        Ok(supervisor)
    }
}

async fn next<T: serde::de::DeserializeOwned>(
    supervisor: &mut BufReader<UnixStream>,
) -> Result<T, Error> {
    let line = read_line(supervisor).await.map_err(Error::Lost)?;
    line.ok_or_else(|| Error::Lost(io::ErrorKind::UnexpectedEof.into()))
}

/// What the person has heard already.
#[derive(Default)]
struct Told {
    phase: String,
    notes: usize,
}

impl Told {
    fn tell(&mut self, status: &Status, progress: &dyn Progress) {
        for note in status.notes.iter().skip(self.notes) {
            progress.event(Event::Note(note));
        }
        self.notes = status.notes.len();
        if let State::Starting { phase } = &status.state
            && *phase != self.phase
        {
            progress.event(Event::Phase(phase));
            self.phase.clone_from(phase);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Server;
    use crate::supervise::Board;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    struct Supervisor {
        board: Arc<Board>,
        server: Server,
        client: Client,
        _dir: tempfile::TempDir,
    }

    async fn supervisor() -> Supervisor {
        let dir = tempfile::tempdir().unwrap();
        let board = Arc::new(Board::new(Instant::now()));
        let socket = Socket::Control.path(dir.path());
        let server = Server::start(&socket, Arc::clone(&board)).unwrap();
        let client = Client::connect(dir.path()).await.unwrap();
        Supervisor {
            board,
            server,
            client,
            _dir: dir,
        }
    }

    #[tokio::test]
    async fn nobody_there_is_not_running() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Client::connect(dir.path()).await,
            Err(Error::NotRunning)
        ));
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("ctl")).unwrap());
        assert!(
            matches!(Client::connect(dir.path()).await, Err(Error::NotRunning)),
            "a dead socket"
        );
    }

    #[tokio::test]
    async fn waiting_hears_each_phase_and_note_once() {
        let Supervisor { board, client, .. } = &supervisor().await;
        board.note("a note".to_owned());
        let heard = Mutex::new(Vec::new());
        let progress = |event: Event<'_>| heard.lock().unwrap().push(format!("{event:?}"));
        let story = async {
            board.phase("one");
            client.status().await.unwrap(); // the watcher's turn
            board.phase("one");
            client.status().await.unwrap();
            board.update(|status| status.state = State::Ready);
        };
        let (ready, ()) = tokio::join!(client.wait_ready(&progress), story);
        assert_eq!(ready.unwrap().state, State::Ready);
        assert_eq!(
            heard.into_inner().unwrap(),
            ["Note(\"a note\")", "Phase(\"one\")"]
        );
    }

    #[tokio::test]
    async fn a_failure_reaches_who_waits() {
        let Supervisor {
            board,
            client,
            server,
            _dir,
        } = supervisor().await;
        let story = async {
            client.status().await.unwrap();
            board.finish(&Err(crate::lock::Error::Taken.into()));
        };
        let (ready, ()) = tokio::join!(client.wait_ready(&crate::progress::Silent), story);
        let error = ready.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the sandbox is already running or being changed"
        );
        assert_eq!(
            error.help().unwrap(),
            "stop it first, or wait for the other command"
        );
        server.finish().await;
    }

    #[tokio::test]
    async fn a_program_is_refused_before_the_guest_is_ready() {
        let Supervisor { client, .. } = &supervisor().await;
        let error = client.exec(&Exec::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "the sandbox is still starting");
    }

    #[tokio::test]
    async fn stop_returns_when_all_is_gone() {
        let Supervisor {
            board,
            client,
            server,
            _dir,
        } = supervisor().await;
        let story = async {
            let grace = board.stopped().await;
            assert_eq!(grace, Duration::from_secs(7));
            board.stop(Duration::ZERO);
            assert_eq!(board.stopped().await, grace, "the first to ask decides");
            board.finish(&Ok(()));
            server.finish().await;
        };
        let (stopped, ()) = tokio::join!(client.stop(Duration::from_secs(7)), story);
        stopped.unwrap();
        assert!(matches!(client.status().await, Err(Error::NotRunning)));
    }
}
