//! Which files the guest has just changed, told to the supervisor, whose watch of the folder sees the guest's own
//! changes too and must not tell the guest of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Files that are remembered, by number modulo this. Two that share a place are told more often, and no harm is done.
const PLACES: usize = 1024;

/// A file that is written to without pause is told of so often, in milliseconds.
const AGAIN: u64 = 100;

/// A record on the pipe: the file's inode number on the host, in this machine's byte order.
pub(crate) const RECORD: usize = size_of::<u64>();

/// Tells by standard output.
pub(super) struct Echo {
    started: Instant,
    /// What was told last at each place, as `number << 16 | time / AGAIN`.
    told: Vec<AtomicU64>,
}

impl Echo {
    /// From now on nothing else may be written to standard output. A supervisor that does not read is not waited for.
    pub(super) fn new() -> Self {
        let stdout = rustix::stdio::stdout();
        if let Ok(flags) = rustix::fs::fcntl_getfl(stdout) {
            let _ = rustix::fs::fcntl_setfl(stdout, flags | rustix::fs::OFlags::NONBLOCK);
        }
        Self {
            started: Instant::now(),
            told: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// One that tells nobody, for tests, whose standard output is not theirs.
    #[cfg(test)]
    pub(super) fn silent() -> Self {
        Self {
            started: Instant::now(),
            told: Vec::new(),
        }
    }

    /// The guest changes the file with this number in the server's own count; `ino` asks for the host's.
    pub(super) fn tell(&self, inode: u64, ino: impl FnOnce() -> Option<u64>) {
        let now = self.started.elapsed().as_millis();
        let tick = u64::try_from(now).unwrap_or_default() / AGAIN + 1;
        if self.is_due(inode, tick)
            && let Some(ino) = ino()
        {
            // A full pipe, or none, costs the guest a needless event.
            let _ = rustix::io::write(rustix::stdio::stdout(), &ino.to_ne_bytes());
        }
    }

    fn is_due(&self, inode: u64, tick: u64) -> bool {
        let place = usize::try_from(inode).unwrap_or_default() % PLACES;
        let entry = inode << 16 | tick & 0xffff;
        let told = self.told.get(place);
        told.is_some_and(|told| told.swap(entry, Ordering::Relaxed) != entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_once_in_a_while() {
        let echo = Echo {
            started: Instant::now(),
            told: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        };
        let rows = [
            (5, 1, true),
            (5, 1, false),
            (6, 1, true),
            (5, 1, false),
            (5, 2, true),
            (5 + PLACES as u64, 2, true),
            (5, 2, true),
        ];
        for (inode, tick, due) in rows {
            assert_eq!(echo.is_due(inode, tick), due, "{inode} at {tick}");
        }
    }
}
