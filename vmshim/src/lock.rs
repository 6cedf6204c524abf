//! The lock that says a sandbox is running, or is being changed by somebody.
//!
//! It is a file lock (flock(2)), so it ends with its holder however that dies.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long somebody may be looking whether the lock is held, which takes it for a moment.
const LOOK: Duration = Duration::from_millis(100);

/// Why a lock is not ours.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody holds it.
    #[error("the sandbox is already running or being changed")]
    Taken,
    /// The operating system refused.
    #[error("`{}` could not be locked", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Taken => Some("stop it first, or wait for the other command".to_owned()),
            Self::Io { .. } => None,
        }
    }
}

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, making its file if need be. Waits no longer than one who only looks
    /// ([`Lock::is_taken`]) may hold it.
    pub fn take(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let patience = Instant::now() + LOOK;
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                    std::thread::sleep(LOOK / 20);
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(Error::Taken),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // The sandbox may have been removed, and another made in its place, between opening and locking.
            if is_at(&file, path) {
                return Ok(Self { _file: file });
            }
        }
    }

    /// Whether somebody holds the lock at `path`.
    pub fn is_taken(path: &Path) -> bool {
        let Ok(file) = File::open(path) else {
            return false;
        };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), path.metadata()) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_does_not_get_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let look = File::create(&path).unwrap();
        look.try_lock_shared().unwrap();
        let taker = {
            let path = path.clone();
            std::thread::spawn(move || Lock::take(&path).is_ok())
        };
        drop(look);
        assert!(taker.join().unwrap());
    }

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!Lock::is_taken(&path));
        let first = Lock::take(&path).unwrap();
        assert!(Lock::is_taken(&path));
        assert!(matches!(Lock::take(&path), Err(Error::Taken)));
        drop(first);
        assert!(!Lock::is_taken(&path));
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_lock_on_a_removed_file_is_not_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _old = Lock::take(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _new = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&path), Err(Error::Taken)));
    }
}
