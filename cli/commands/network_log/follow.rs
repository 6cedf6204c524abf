//! Reading a log while it is written, over its rotations.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proxy::audit::Event;

use crate::report::Failure;

/// How often the logs are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The ends of several logs.
pub(super) struct Tails(Vec<Tail>);

impl Tails {
    /// From what is written after this.
    pub(super) fn at_end(logs: &[PathBuf]) -> Self {
        Self(logs.iter().map(|log| Tail::at_end(log)).collect())
    }

    /// Hands every new entry to `shown`, until that fails or the process is ended.
    pub(super) fn each(
        &mut self,
        mut shown: impl FnMut(Event) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            for tail in &mut self.0 {
                for event in tail.more() {
                    shown(event)?;
                }
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The end of one log.
struct Tail {
    path: PathBuf,
    open: Option<BufReader<File>>,
    /// A line whose end is not there yet.
    begun: Vec<u8>,
}

impl Tail {
    fn at_end(path: &Path) -> Self {
        let open = File::open(path).ok().and_then(|mut file| {
            file.seek(SeekFrom::End(0)).ok()?;
            Some(BufReader::new(file))
        });
        Self {
            path: path.to_owned(),
            open,
            begun: Vec::new(),
        }
    }

    /// What came since the last look: the rest of a file that was rotated away, then the one in its place.
    fn more(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        // Whether it was rotated is asked before the rest is read: what is read then is all of it.
        let rotated = !self.is_current();
        self.read(&mut events);
        if rotated {
            self.open = File::open(&self.path).ok().map(BufReader::new);
            self.begun.clear();
            self.read(&mut events);
        }
        events
    }

    fn is_current(&self) -> bool {
        let open = self
            .open
            .as_ref()
            .and_then(|open| open.get_ref().metadata().ok());
        let named = fs::metadata(&self.path).ok();
        let id = |meta: fs::Metadata| (meta.dev(), meta.ino());
        open.map(id) == named.map(id)
    }

    fn read(&mut self, events: &mut Vec<Event>) {
        let Some(open) = &mut self.open else { return };
        while let Ok(1..) = open.read_until(b'\n', &mut self.begun) {
            if self.begun.last() != Some(&b'\n') {
                return;
            }
            // The writer's own marks of trouble are for `network log` without `--follow`.
            let event = serde_json::from_slice::<Event>(&self.begun);
            events.extend(event.ok());
            self.begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn line(url: &str) -> String {
        format!(
            "{{\"timestamp\":\"2026-01-29T10:15:23Z\",\"sandbox\":\"s\",\"type\":\"request\",\"url\":\"{url}\",\"action\":\"denied\"}}\n"
        )
    }

    /// Nothing is lost or shown twice: torn lines, rotations, a log that is not there yet.
    #[test]
    fn over_rotations() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("network.jsonl");
        let append = |text: &str| {
            let file = File::options().create(true).append(true).open(&log);
            file.unwrap().write_all(text.as_bytes()).unwrap();
        };
        let mut absent = Tail::at_end(&log);
        append(&line("old"));
        let mut tail = Tail::at_end(&log);
        let mut new =
            || -> Vec<String> { tail.more().into_iter().map(|event| event.url).collect() };
        assert_eq!(new(), Vec::<String>::new());
        append(&line("a"));
        let (torn, rest) = (&line("b")[..20].to_owned(), &line("b")[20..].to_owned());
        append(torn);
        assert_eq!(new(), ["a"]);
        append(rest);
        append(&line("c"));
        fs::rename(&log, dir.path().join("network.1")).unwrap();
        append(&line("d"));
        assert_eq!(new(), ["b", "c", "d"]);
        append(&line("e"));
        assert_eq!(new(), ["e"]);
        assert_eq!(absent.more().len(), 2, "d and e");
    }
}
