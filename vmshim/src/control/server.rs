//! Answers callers.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use wire::message::Exec;

use super::{ExecReply, Request, read_line, write_line};
use crate::status::{State, Status};
use crate::supervise::Board;

/// How long the last words to a caller may take when everything is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// The supervisor's listening socket and the conversations on it.
pub(crate) struct Server {
    task: tokio::task::JoinHandle<()>,
    finished: tokio::sync::oneshot::Sender<()>,
}

impl Server {
    /// Listens at `path`, in a folder that only the owner can enter.
    pub(crate) fn start(path: &Path, board: Arc<Board>) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let (finished, over) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut conversations = JoinSet::new();
            tokio::select! {
                () = accept(listener, &board, &mut conversations) => {}
                _ = over => {}
            }
            let farewell = async { while conversations.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(FAREWELL, farewell).await;
        });
        Ok(Self { task, finished })
    }

    /// Takes no more callers and lets those who watch read the end.
    pub(crate) async fn finish(self) {
        let _ = self.finished.send(());
        let _ = self.task.await;
    }
}

async fn accept(listener: UnixListener, board: &Arc<Board>, conversations: &mut JoinSet<()>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let board = Arc::clone(board);
                conversations.spawn(async move {
                    // A caller that misbehaves or leaves has only itself to tell.
                    let _ = converse(stream, &board).await;
                });
            }
            // Out of descriptors, most likely: others end, and room comes back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        while conversations.try_join_next().is_some() {}
    }
}

async fn converse(stream: UnixStream, board: &Board) -> io::Result<()> {
    let mut caller = BufReader::new(stream);
    let Some(request) = read_line(&mut caller).await? else {
        return Ok(());
    };
    match request {
        Request::Status => write_line(&mut caller, &board.status()).await,
        Request::Watch => watch(&mut caller, board).await,
        Request::Stop { grace_ms } => {
            board.stop(Duration::from_millis(grace_ms));
            watch(&mut caller, board).await?;
            // Closing the connection tells the caller that nothing is left, so that may be said by the end only.
            board.gone().await;
            Ok(())
        }
        Request::Exec { exec } => run(&mut caller, board, &exec).await,
    }
}

async fn watch(caller: &mut BufReader<UnixStream>, board: &Board) -> io::Result<()> {
    let mut changes = board.watch();
    loop {
        let status: Status = changes.borrow_and_update().clone();
        write_line(caller, &status).await?;
        if status.state.is_final() || changes.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn run(caller: &mut BufReader<UnixStream>, board: &Board, exec: &Exec) -> io::Result<()> {
    let mut guest = match start(board, exec).await {
        Ok(stream) => stream,
        Err(reason) => return write_line(caller, &ExecReply::Refused(reason)).await,
    };
    write_line(caller, &ExecReply::Ok).await?;
    tokio::io::copy_bidirectional(caller, &mut guest).await?;
    Ok(())
}

async fn start(board: &Board, exec: &Exec) -> Result<wire::mux::Stream, String> {
    let refused = || match board.status().state {
        State::Starting { .. } => "the sandbox is still starting".to_owned(),
        State::Ready => "the sandbox does not answer".to_owned(),
        State::Stopping | State::Stopped => "the sandbox is stopping".to_owned(),
        State::Failed { message, .. } => message,
    };
    let guest = board.guest().ok_or_else(refused)?;
    guest.exec(exec).await.map_err(|_| refused())
}
