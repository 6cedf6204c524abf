//! A helper process and what it says on its standard error.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use super::{Board, Error};
use crate::notes;

/// Lines kept of what a helper says; the rest is read and dropped.
const KEPT_LINES: usize = 4;
/// Bytes believed of one line.
const LONGEST_LINE: u64 = 4096;

/// A process that is killed when this value is dropped, and that dies with the supervisor.
pub(super) struct Helper {
    pub(super) process: Child,
    said: JoinHandle<VecDeque<String>>,
    /// The end of what it said, once that was heard.
    words: Option<String>,
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
        Ok(Self {
            process,
            said,
            words: None,
        })
    }

    /// Waits for the end. Cancel safe.
    pub(super) async fn wait(&mut self) -> Option<ExitStatus> {
        self.process.wait().await.ok()
    }

    /// What it said last, or how it ended. Cancel safe, and the same each time.
    pub(super) async fn last_words(&mut self) -> String {
        let status = self.wait().await;
        if self.words.is_none() {
            let said = (&mut self.said).await.unwrap_or_default();
            self.words = Some(Vec::from(said).join("; "));
        }
        match (&self.words, status) {
            (Some(words), _) if !words.is_empty() => words.clone(),
            (_, Some(status)) => status.to_string(),
            (_, None) => "it vanished".to_owned(),
        }
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
        if let Some(note) = notes::note_in(&text) {
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Whoever asks may be interrupted, and another asks again: about a folder's server when the VM's end comes between.
    #[tokio::test]
    async fn last_words_are_the_same_each_time() {
        for (script, expected) in [
            ("echo one >&2; echo two >&2", "one; two"),
            ("exit 3", "exit status: 3"),
        ] {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", script]);
            let board = Arc::new(Board::new(Instant::now()));
            let mut helper = Helper::start(command, &board).unwrap();
            for _ in 0..3 {
                assert_eq!(helper.last_words().await, expected);
            }
        }
    }
}
