//! The guest's console, kept on disk without ever filling it.
//!
//! The guest decides how much it prints, so both size and speed are bounded: two files of [`FILE_MAX`] hold the
//! latest output, and a guest that prints faster than [`BYTES_PER_SECOND`] waits.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

use crate::spec::Spec;

/// The largest that one file becomes, in bytes.
const FILE_MAX: u64 = 256 * 1024;

/// The fastest that a guest may print, in bytes a second. A serial line was slower.
const BYTES_PER_SECOND: u64 = 1 << 20;

/// Copies `from` to the log at `path` until it ends. When the disk is full the output is read and dropped, because a
/// guest must not stop for that.
pub(super) async fn record(mut from: impl AsyncRead + Unpin, path: PathBuf) {
    let mut log = Ring::create(&path).ok();
    let mut buffer = vec![0; 16 * 1024];
    let mut window = Window::new();
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer.get(..count).unwrap_or_default();
        if let Some(log) = &mut log {
            let _ = log.write(bytes);
        }
        window.pause(count as u64).await;
    }
}

/// What the guest's init said last, else the last line of all.
pub(super) fn last_words(spec: &Spec) -> String {
    let text = fs::read(spec.console_log()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = || {
        text.lines()
            .rev()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let init = lines().find_map(|line| line.strip_prefix("sandbox-init: "));
    init.or(lines().next())
        .unwrap_or("the guest powered off")
        .to_owned()
}

/// The panic of the guest's kernel, if it had one.
pub(super) fn panic(spec: &Spec) -> Option<String> {
    let text = fs::read(spec.console_log()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .rev()
        .find(|line| line.contains("Kernel panic - "))?;
    Some(line.trim().to_owned())
}

/// Two files: `path` grows, and becomes `path` with `.1` when it is full.
struct Ring {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Ring {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: File::create(path)?,
            size: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size >= FILE_MAX {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *self = Self::create(&self.path)?;
        }
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

/// Counts what came within the current second.
struct Window {
    began: Instant,
    bytes: u64,
}

impl Window {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            bytes: 0,
        }
    }

    async fn pause(&mut self, bytes: u64) {
        const SECOND: Duration = Duration::from_secs(1);
        if self.began.elapsed() >= SECOND {
            *self = Self::new();
        }
        self.bytes += bytes;
        if self.bytes >= BYTES_PER_SECOND {
            tokio::time::sleep_until(self.began + SECOND).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_slowed_and_only_its_end_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let mut flood = vec![b'x'; 4 << 20];
        flood.extend(b"the end");
        let began = Instant::now();
        record(flood.as_slice(), path.clone()).await;
        assert!(
            began.elapsed() >= Duration::from_secs(4),
            "{:?}",
            began.elapsed()
        );
        let kept = fs::read(&path).unwrap();
        assert!(kept.ends_with(b"the end"));
        let sizes: u64 = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().metadata().unwrap().len())
            .sum();
        assert!(sizes <= 2 * (FILE_MAX + 16 * 1024), "{sizes}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
