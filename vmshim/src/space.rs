//! Free disk space, asked for before it is needed: running out halfway says less.

use std::path::{Path, PathBuf};

/// There is too little room.
#[derive(Debug, thiserror::Error)]
#[error("`{}` has only {} MiB of free disk space", dir.display(), free >> 20)]
pub struct Full {
    dir: PathBuf,
    /// Bytes free.
    free: u64,
    /// Bytes wanted.
    wanted: u64,
}

impl Full {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        Some(format!(
            "free at least {} MiB there and try again",
            self.wanted >> 20
        ))
    }
}

/// Whether the file system of `dir` has room for `wanted` bytes. One that can't be asked is believed to have it.
pub fn require(dir: &Path, wanted: u64) -> Result<(), Full> {
    let Ok(space) = rustix::fs::statvfs(dir) else {
        return Ok(());
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free >= wanted {
        return Ok(());
    }
    Err(Full {
        dir: dir.to_owned(),
        free,
        wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        // procfs has no room at all.
        let rows = [
            ("/proc", 1 << 20, false),
            ("/proc", 0, true),
            ("/nowhere/at/all", 1, true),
        ];
        for (dir, wanted, fits) in rows {
            assert_eq!(
                require(Path::new(dir), wanted).is_ok(),
                fits,
                "{dir} {wanted}"
            );
        }
        let error = require(Path::new("/proc"), 256 << 20).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/proc` has only 0 MiB of free disk space"
        );
        assert_eq!(
            error.help().unwrap(),
            "free at least 256 MiB there and try again"
        );
    }
}
