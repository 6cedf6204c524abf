//! How many files a folder's server may hold open, and the sentence about it when they are too few.
//!
//! The server holds one for every file that the guest's kernel remembers, and virtio has no word to ask it to forget.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use crate::notes;

/// A folder and its bound.
pub(super) struct Bound {
    folder: PathBuf,
    files: u64,
    told: AtomicBool,
}

impl Bound {
    pub(super) fn new(folder: PathBuf, files: u64) -> Self {
        Self {
            folder,
            files,
            told: AtomicBool::new(false),
        }
    }

    /// Passes on what became of a request that takes a file; the first that fails for the bound is told of.
    pub(super) fn heed<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &done
            && self.is_first(error)
        {
            notes::note(&self.sentence());
        }
        done
    }

    fn is_first(&self, error: &io::Error) -> bool {
        let full = matches!(
            Errno::from_io_error(error),
            Some(Errno::NFILE | Errno::MFILE)
        );
        full && !self.told.swap(true, Ordering::Relaxed)
    }

    fn sentence(&self) -> String {
        format!(
            "programs inside cannot open more files of `{}`: its server may hold {} at once, and one for each that the \
             sandbox's kernel remembers; raise the hard limit (`ulimit -Hn`, or `LimitNOFILE=` of a systemd unit) and \
             start the sandbox again",
            self.folder.display(),
            self.files
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_told_of_once() {
        let bound = Bound::new("/w".into(), 448);
        let rows = [
            (Errno::NOENT, false),
            (Errno::NFILE, true),
            (Errno::NFILE, false),
            (Errno::MFILE, false),
        ];
        for (error, first) in rows {
            assert_eq!(bound.is_first(&error.into()), first, "{error}");
        }
    }
}
