//! A helper process and what it says on its standard error.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use super::{Board, Error};
use crate::helper;

/// Lines kept of what a helper says; the rest is read and dropped.
const KEPT_LINES: usize = 4;
/// Bytes believed of one line.
const LONGEST_LINE: u64 = 4096;

/// A process that is killed when this value is dropped, and that dies with the supervisor.
pub(super) struct Helper {
    pub(super) process: Child,
    said: JoinHandle<VecDeque<String>>,
}

impl Helper {
    /// Starts `command`, whose standard error becomes notes and last words.
    pub(super) fn start(command: std::process::Command, board: &Arc<Board>) -> Result<Self, Error> {
        let mut command = Command::from(command);
        command
            .kill_on_drop(true)
            .stderr(std::process::Stdio::piped());
        let mut process = command
            .spawn()
            .map_err(Error::doing("start a helper process"))?;
        let stderr = process.stderr.take();
        let said = tokio::spawn(listen(stderr, Arc::clone(board)));
        Ok(Self { process, said })
    }

    /// Waits for the end. Cancel safe.
    pub(super) async fn wait(&mut self) -> Option<ExitStatus> {
        self.process.wait().await.ok()
    }

    /// What it said last, or how it ended.
    pub(super) async fn last_words(&mut self) -> String {
        let status = self.wait().await;
        let said = (&mut self.said).await.unwrap_or_default();
        if !said.is_empty() {
            return said.into_iter().collect::<Vec<_>>().join("; ");
        }
        status.map_or_else(|| "it vanished".to_owned(), |status| status.to_string())
    }

    /// Kills it and waits until it is gone.
    pub(super) async fn kill(&mut self) {
        let _ = self.process.start_kill();
        let _ = self.wait().await;
    }
}

async fn listen(stderr: Option<ChildStderr>, board: Arc<Board>) -> VecDeque<String> {
    let mut kept = VecDeque::new();
    let Some(stderr) = stderr else { return kept };
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut stderr)
        .take(LONGEST_LINE)
        .read_until(b'\n', &mut line)
        .await
    {
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        line.clear();
        if let Some(note) = helper::note_in(&text) {
            board.note(note.to_owned());
        } else if !text.is_empty() {
            kept.push_back(text);
        }
        if kept.len() > KEPT_LINES {
            kept.pop_front();
        }
    }
    kept
}
