//! The folder of a running sandbox's sockets.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Error;

/// Exists while the sandbox runs; only its owner can enter it.
pub(super) struct RuntimeDir {
    path: PathBuf,
}

impl RuntimeDir {
    /// Makes the folder. Whatever is there belongs to a supervisor that was killed, since we hold its lock.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        remove(path).map_err(Error::doing("clear what a killed supervisor left behind"))?;
        if let Some(parent) = path.parent() {
            make(parent, true).map_err(Error::doing("make its runtime folder"))?;
        }
        make(path, false).map_err(Error::doing("make its runtime folder"))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        // If this fails the next start will clear it.
        let _ = remove(&self.path);
    }
}

fn make(path: &Path, recursive: bool) -> io::Result<()> {
    DirBuilder::new()
        .recursive(recursive)
        .mode(0o700)
        .create(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn clears_what_was_left_and_leaves_nothing() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("sandbox/abc");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("ctl"), "stale").unwrap();
        let dir = RuntimeDir::create(&path).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        drop(dir);
        assert!(!path.exists());
    }
}
