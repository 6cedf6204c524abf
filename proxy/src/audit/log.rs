//! Writing the log: one `write(2)` for each line, so a kill at any moment tears at most the last one.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::Event;
use super::chain::Chain;
use crate::options::Limits;

/// The reason of requests that are refused because they cannot be recorded.
pub(crate) const LOG_FULL: &str = "log-full";

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
            astray: false,
            backlog: VecDeque::new(),
            capacity: limits.log_backlog,
            failing_since: None,
            lost: Lost::default(),
        }))))
    }

    /// Records `event`. COST: one write into the page cache, about 2 µs; it never waits for the disk.
    pub(crate) fn write(&self, event: &Event) {
        let Some(mut writer) = self.writer() else {
            return;
        };
        // A request that was refused because nothing can be recorded must not push out what was let through.
        if writer.failing_since.is_some() && event.reason.as_deref() == Some(LOG_FULL) {
            writer.lost.count();
            return;
        }
        if let Ok(line) = serde_json::to_vec(event) {
            writer.write(line);
        }
    }

    /// Whether a request may start: an error while lines cannot be written and no more can be kept.
    pub(crate) fn check(&self) -> Result<(), Full> {
        self.writer().map_or(Ok(()), |mut writer| writer.check())
    }

    /// The lines that are not on disk, while the log cannot be written.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let writer = self.writer()?;
        writer.failing_since.map(|since| Trouble {
            seconds: since.elapsed().as_secs(),
            waiting: writer.backlog.len(),
            lost: writer.lost.untold,
        })
    }

    /// How many lines were lost in an outage that is over and that nobody has told of yet.
    pub(crate) fn gap(&self) -> Option<u64> {
        let mut writer = self.writer()?;
        let over = writer.failing_since.is_none() && writer.lost.untold > 0;
        over.then(|| std::mem::take(&mut writer.lost.untold))
    }

    /// Lines lost since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.writer().map_or(0, |writer| writer.lost.total)
    }

    fn writer(&self) -> Option<MutexGuard<'_, Writer>> {
        let writer = self.0.as_ref()?;
        Some(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A log that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// For how long.
    pub seconds: u64,
    /// Lines that are kept in memory until it can be.
    pub waiting: usize,
    /// Lines that were dropped because no more can be kept.
    pub lost: u64,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the request log cannot be written for {} s; {} lines wait, {} are lost",
            self.seconds, self.waiting, self.lost
        )
    }
}

/// Lines that never reached the log.
#[derive(Debug, Default)]
struct Lost {
    total: u64,
    /// Those that the log itself does not mention yet.
    untold: u64,
}

impl Lost {
    fn count(&mut self) {
        self.total += 1;
        self.untold += 1;
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
    /// The open file is not the one at `path`, and none can be made there.
    astray: bool,
    backlog: VecDeque<Vec<u8>>,
    capacity: usize,
    failing_since: Option<Instant>,
    lost: Lost,
}

impl Writer {
    fn write(&mut self, mut line: Vec<u8>) {
        if self.checked.elapsed() >= RECHECK {
            self.recheck();
        }
        // Requests are refused once `capacity` is reached; the rest is for those that were under way.
        if self.backlog.len() >= 2 * self.capacity {
            return self.lost.count();
        }
        self.chain.seal(&mut line);
        self.backlog.push_back(line);
        self.drain();
    }

    /// Looks whether the log is still where it should be.
    fn recheck(&mut self) {
        self.checked = Instant::now();
        self.astray = self.renew().is_err() && !self.is_in_place();
    }

    fn check(&mut self) -> Result<(), Full> {
        if self.failing_since.is_some() {
            if self.astray && self.checked.elapsed() >= RECHECK {
                self.recheck();
            }
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
            // What goes into a file that nobody can find is not recorded.
            if self.astray || append(&mut self.file, line).is_err() {
                self.failing_since.get_or_insert_with(Instant::now);
                return;
            }
            self.backlog.pop_front();
        }
        self.failing_since = None;
    }

    /// Rotates a log that has grown too big, and opens a new one where the old was moved or deleted.
    fn renew(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() >= self.max_bytes {
            self.rotate()?;
        } else if self.is_in_place() {
            return Ok(());
        }
        // The chain goes on, whatever the new file holds.
        self.file = open_repaired(&self.path)?.0;
        Ok(())
    }

    /// Whether the open file is the one that the log's name leads to.
    fn is_in_place(&self) -> bool {
        let place = |file: &fs::Metadata| (file.dev(), file.ino());
        let (open, named) = (self.file.metadata(), fs::metadata(&self.path));
        matches!((open, named), (Ok(open), Ok(named)) if place(&open) == place(&named))
    }

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

/// Opens for appending without ever waiting for a pipe's reader, mode 0600, cuts what follows the last line feed, and reads the last line's chain.
fn open_repaired(path: &Path) -> io::Result<(File, Option<Chain>)> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
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

    fn verified(path: &Path) -> Result<usize, usize> {
        let log = fs::read(path).unwrap();
        super::super::Verifier::default().read(&*log).unwrap()
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
            let chain = verified(&path);
            assert_eq!(chain, Ok(2), "the chain goes on after a restart");
        }
    }

    fn writer(log: &Log) -> MutexGuard<'_, Writer> {
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

    fn break_off(log: &Log) -> File {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        std::mem::replace(&mut writer(log).file, full)
    }

    /// F10: what is refused for want of a log does not push out what was let through, and the gap is counted.
    #[test]
    fn a_long_outage_keeps_what_was_let_through() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network.jsonl");
        let log = open(&path, u64::MAX, 2).unwrap();
        let good = break_off(&log);
        assert_eq!((log.trouble(), log.gap()), (None, None));
        // Two fill the backlog, two more were under way, and one is too many.
        for url in ["a", "b", "c", "d", "e"] {
            log.write(&event(url));
        }
        let refused = Event {
            reason: Some(LOG_FULL.to_owned()),
            ..event("refused")
        };
        log.write(&refused);
        let trouble = log.trouble().unwrap();
        assert_eq!((trouble.waiting, trouble.lost), (4, 2));
        assert_eq!((log.check(), log.gap()), (Err(Full), None));
        writer(&log).file = good;
        assert_eq!((log.check(), log.trouble()), (Ok(()), None));
        assert_eq!((log.gap(), log.gap(), log.lost()), (Some(2), None, 2));
        assert_eq!(urls(&path), ["a", "b", "c", "d"]);
        let chain = verified(&path);
        assert_eq!(chain, Ok(4));
    }

    /// F11: a log that is gone and cannot be made anew is a log that cannot be written.
    #[test]
    fn lines_are_not_written_where_nobody_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network.jsonl");
        let log = open(&path, u64::MAX, 10).unwrap();
        let recheck = || writer(&log).recheck();
        log.write(&event("a"));
        fs::remove_file(&path).unwrap();
        // A full pipe, a folder: neither can be appended to, and neither may be waited for.
        let pipe = |path: &Path| {
            rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR).unwrap();
        };
        for make in [pipe, |path: &Path| fs::create_dir(path).unwrap()] {
            make(&path);
            recheck();
            log.write(&event("b"));
            assert!(log.trouble().is_some());
            fs::remove_file(&path)
                .or_else(|_| fs::remove_dir(&path))
                .unwrap();
        }
        recheck();
        log.write(&event("c"));
        assert_eq!(
            (log.trouble(), urls(&path)),
            (None, vec!["b".into(), "b".into(), "c".into()])
        );
        // One that is only made read-only is still the one that is open.
        let mut mode = fs::metadata(&path).unwrap().permissions();
        mode.set_readonly(true);
        fs::set_permissions(&path, mode).unwrap();
        recheck();
        log.write(&event("d"));
        assert_eq!((log.trouble(), urls(&path).len()), (None, 4));
    }

    #[test]
    fn a_full_disk_closes_after_the_backlog_and_recovers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network.jsonl");
        let log = open(&path, u64::MAX, 3).unwrap();
        let good = break_off(&log);
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
