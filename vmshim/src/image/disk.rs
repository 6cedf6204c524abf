//! A sandbox's own disk: a sparse file with an ext4 file system, made without privilege.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::space::{self, Full};
use crate::tool::{self, Tool};

const MKE2FS: Tool = Tool {
    program: "mke2fs",
    package: "e2fsprogs",
};

/// The size of a data disk unless another is asked for, in bytes. Sparse: it takes what is written to it.
pub const DEFAULT_SIZE: u64 = 20 << 30;

/// Free space below which a new sandbox would not live long, in bytes.
const LEAST_FREE: u64 = 256 << 20;

/// Why a data disk could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host's disk is nearly full.
    #[error(transparent)]
    Full(#[from] Full),
    /// The program that makes the file system is missing or failed.
    #[error(transparent)]
    Tool(#[from] tool::Error),
    /// The operating system refused.
    #[error("`{}` could not be written", path.display())]
    Io {
        /// The file concerned.
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
            Self::Full(error) => error.help(),
            Self::Tool(error) => error.help(),
            Self::Io { .. } => None,
        }
    }

    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Makes the disk at `path` with room for `size` bytes, unless it is there already.
///
/// The file appears under its name only when its file system is complete; until then its name begins with `.draft-`.
pub fn ensure(path: &Path, size: u64) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    space::require(dir, LEAST_FREE)?;
    let draft = tempfile::Builder::new()
        .prefix(".draft-")
        .tempfile_in(dir)
        .map_err(Error::at(dir))?;
    draft
        .as_file()
        .set_len(size)
        .map_err(Error::at(draft.path()))?;
    MKE2FS.output(
        MKE2FS
            .command()
            .args(["-q", "-F", "-t", "ext4", "-m", "0", "-L", "data"])
            .args([
                "-E",
                "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
            ])
            .arg(draft.path()),
    )?;
    draft
        .as_file()
        .sync_all()
        .map_err(Error::at(draft.path()))?;
    draft
        .persist_noclobber(path)
        .map_err(|error| Error::at(path)(error.error))?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::at(dir))
}

/// What the disk at `path` really takes on the host, in bytes.
pub fn used(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(path)?.blocks() * 512)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom};

    #[test]
    fn is_sparse_ext4_and_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.ext4");
        ensure(&path, 1 << 30).unwrap();
        let mut file = File::open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 1 << 30);
        assert!(
            used(&path).unwrap() < 64 << 20,
            "{} bytes",
            used(&path).unwrap()
        );
        // The superblock is at 1024 and its magic number at 56 (Documentation/filesystems/ext4/super.rst).
        let mut magic = [0; 2];
        file.seek(SeekFrom::Start(1024 + 56)).unwrap();
        file.read_exact(&mut magic).unwrap();
        assert_eq!(magic, [0x53, 0xef]);
        let before = file.metadata().unwrap().modified().unwrap();
        ensure(&path, 2 << 30).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_is_noticed_before_anything_is_made() {
        let error = ensure(Path::new("/proc/data.ext4"), 1 << 20).unwrap_err(); // procfs has no room at all
        assert_eq!(
            error.to_string(),
            "`/proc` has only 0 MiB of free disk space"
        );
        assert_eq!(
            error.help().unwrap(),
            "free at least 256 MiB there and try again"
        );
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = ensure(Path::new("/nonexistent/folder/data.ext4"), 1 << 20).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/nonexistent/folder` could not be written"
        );
    }
}
