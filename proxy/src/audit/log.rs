//! Writing the log: one `write(2)` for each line, so a kill at any moment tears at most the last one.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Event;
use super::chain::Chain;
use crate::options::Limits;

/// How long a log that cannot be written may hold lines back before requests are refused.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest line that is looked for a chain; the fields of an event are bounded far below.
const MAX_LINE: u64 = 64 * 1024;

/// How often the file's name is compared with the open file, so that a deleted or rotated log is made anew.
const RECHECK: Duration = Duration::from_secs(1);

/// The log cannot be written and its backlog is used up: what cannot be recorded must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request log cannot be written")]
pub(crate) struct Full;

/// An open log, or none.
#[derive(Debug)]
pub(crate) struct Log(Option<Mutex<Writer>>);

impl Log {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Opens or makes the log at `path` and removes a torn last line.
    pub(crate) fn open(path: &Path, limits: &Limits) -> io::Result<Self> {
        let (file, chain) = open_repaired(path)?;
        Ok(Self(Some(Mutex::new(Writer {
            file,
            chain: chain.unwrap_or_default(),
            path: path.to_owned(),
            max_bytes: limits.log_bytes,
            keep: limits.log_files,
            checked: Instant::now(),
            backlog: VecDeque::new(),
            capacity: limits.log_backlog,
            failing_since: None,
            lost: 0,
        }))))
    }

    /// Records `event`. COST: one write into the page cache, about 2 µs; it never waits for the disk.
    pub(crate) fn write(&self, event: &Event) {
        let Some(writer) = &self.0 else { return };
        let Ok(line) = serde_json::to_vec(event) else {
            return;
        };
        writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(line);
    }

    /// Whether a request may start: an error while lines cannot be written and no more can be kept.
    pub(crate) fn check(&self) -> Result<(), Full> {
        let Some(writer) = &self.0 else { return Ok(()) };
        writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .check()
    }
}

#[derive(Debug)]
struct Writer {
    file: File,
    chain: Chain,
    path: PathBuf,
    max_bytes: u64,
    /// Rotated files that are kept.
    keep: u32,
    checked: Instant,
    backlog: VecDeque<Vec<u8>>,
    capacity: usize,
    failing_since: Option<Instant>,
    lost: u64,
}

impl Writer {
    fn write(&mut self, mut line: Vec<u8>) {
        if self.checked.elapsed() >= RECHECK {
            self.checked = Instant::now();
            // Without a new file the old one goes on being written.
            let _ = self.renew();
        }
        // Chained in the order of writing: a line that is lost later leaves a gap that shows.
        self.chain.seal(&mut line);
        self.backlog.push_back(line);
        self.drain();
        while self.backlog.len() > self.capacity {
            self.backlog.pop_front();
            self.lost += 1;
        }
    }

    fn check(&mut self) -> Result<(), Full> {
        if self.failing_since.is_some() {
            self.drain();
        }
        match self.failing_since {
            Some(since) if since.elapsed() > PATIENCE || self.backlog.len() >= self.capacity => {
                Err(Full)
            }
            _ => Ok(()),
        }
    }

    fn drain(&mut self) {
        while let Some(line) = self.backlog.front() {
            match append(&mut self.file, line) {
                Ok(()) => drop(self.backlog.pop_front()),
                Err(_) => {
                    self.failing_since.get_or_insert_with(Instant::now);
                    return;
                }
            }
        }
        self.failing_since = None;
    }

    /// Rotates a log that has grown too big, and opens a new one where the old was moved or deleted.
    fn renew(&mut self) -> io::Result<()> {
        let open = self.file.metadata()?;
        let named = fs::metadata(&self.path).ok();
        if open.len() >= self.max_bytes {
            self.rotate()?;
        } else if named.is_some_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino()))
        {
            return Ok(());
        }
        // The chain goes on, whatever the new file holds.
        self.file = open_repaired(&self.path)?.0;
        Ok(())
    }
}

impl Writer {
    /// Makes each rotated file one older; the oldest goes.
    fn rotate(&self) -> io::Result<()> {
        let numbered = |number: u32| self.path.with_extension(number.to_string());
        for number in (1..self.keep).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, numbered(1))
    }
}

/// Appends all of `line` or, as far as the file system lets us, nothing.
fn append(file: &mut File, line: &[u8]) -> io::Result<()> {
    match file.write(line)? {
        written if written == line.len() => Ok(()),
        written => {
            // Disk full in the middle of a line: take the half line back, it is tried again whole.
            let end = file.metadata()?.len();
            file.set_len(end.saturating_sub(written as u64))?;
            Err(io::ErrorKind::StorageFull.into())
        }
    }
}

/// Opens for appending, mode 0600, cuts what follows the last line feed, and reads the last line's chain.
fn open_repaired(path: &Path) -> io::Result<(File, Option<Chain>)> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let length = file.metadata()?.len();
    let whole = end_of_line_before(&mut file, length)?;
    if whole < length {
        file.set_len(whole)?;
    }
    let start = end_of_line_before(&mut file, whole.saturating_sub(1))?;
    let mut last = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    (&mut file).take(MAX_LINE).read_to_end(&mut last)?;
    Ok((file, Chain::of(&last)))
}

/// Where the last line that ends before `length` ends.
fn end_of_line_before(file: &mut File, length: u64) -> io::Result<u64> {
    let mut block = [0_u8; 4096];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let Some(window) = block.get_mut(..usize::try_from(end - start).unwrap_or(0)) else {
            break;
        };
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(window)?;
        if let Some(feed) = window.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + feed as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(url: &str) -> Event {
        let json = r#"{"timestamp":"2026-01-29T10:15:23Z","sandbox":"s","type":"request","action":"denied"}"#;
        Event {
            url: url.into(),
            ..serde_json::from_str(json).unwrap()
        }
    }

    fn open(path: &Path, log_bytes: u64, log_backlog: usize) -> io::Result<Log> {
        let limits = Limits {
            log_bytes,
            log_backlog,
            log_files: 2,
            ..Limits::default()
        };
        Log::open(path, &limits)
    }

    fn urls(path: &Path) -> Vec<String> {
        super::super::read(&*fs::read(path).unwrap())
            .map(|event| event.unwrap().url)
            .collect()
    }

    #[test]
    fn a_torn_line_is_cut_at_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network.jsonl");
        for torn in ["{\"tim", &"x".repeat(10_000)] {
            fs::remove_file(&path).ok();
            open(&path, u64::MAX, 10).unwrap().write(&event("a"));
            OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(torn.as_bytes())
                .unwrap();
            open(&path, u64::MAX, 10).unwrap().write(&event("b"));
            assert_eq!(urls(&path), ["a", "b"]);
            let chain = super::super::verify(&*fs::read(&path).unwrap()).unwrap();
            assert_eq!(chain, Ok(2), "the chain goes on after a restart");
        }
    }

    fn writer(log: &Log) -> std::sync::MutexGuard<'_, Writer> {
        log.0.as_ref().unwrap().lock().unwrap()
    }

    #[test]
    fn a_deleted_or_full_log_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network.jsonl");
        let log = open(&path, 200, 10).unwrap();
        log.write(&event("a"));
        fs::remove_file(&path).unwrap();
        writer(&log).renew().unwrap();
        log.write(&event("b"));
        assert_eq!(urls(&path), ["b"]);
        log.write(&event("c"));
        log.write(&event("d"));
        writer(&log).renew().unwrap();
        log.write(&event("e"));
        assert_eq!(urls(&path), ["e"]);
        assert_eq!(urls(&dir.path().join("network.1")), ["b", "c", "d"]);
        for (first, second) in [("f", "g"), ("h", "i")] {
            log.write(&event(first));
            log.write(&event(second));
            writer(&log).renew().unwrap();
        }
        assert_eq!(urls(&dir.path().join("network.1")), ["h", "i"]);
        assert_eq!(urls(&dir.path().join("network.2")), ["e", "f", "g"]);
        assert!(!dir.path().join("network.3").exists(), "two are kept");
    }

    #[test]
    fn a_full_disk_closes_after_the_backlog_and_recovers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network.jsonl");
        let log = open(&path, u64::MAX, 3).unwrap();
        let good = std::mem::replace(
            &mut writer(&log).file,
            OpenOptions::new().write(true).open("/dev/full").unwrap(),
        );
        for url in ["a", "b"] {
            log.write(&event(url));
            assert_eq!(log.check(), Ok(()), "kept in memory");
        }
        log.write(&event("c"));
        assert_eq!(log.check(), Err(Full));
        writer(&log).file = good;
        assert_eq!(log.check(), Ok(()));
        assert_eq!(urls(&path), ["a", "b", "c"]);
    }
}
