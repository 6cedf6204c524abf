//! Writing files so that a kill at any instant leaves the old or the new, and drafts that the next writer removes.
//!
//! A draft lies in the folder of the file that it becomes, and its writer holds a shared lock on that folder.
//! Whoever gets the folder alone removes the drafts in it: their writers are dead.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;

use crate::report::Failure;

/// How the names of drafts begin.
pub(crate) const DRAFT: &str = ".draft-";

/// Keeps drafts in a folder from being removed until it is dropped.
#[derive(Debug)]
pub(crate) struct Writing {
    _folder: File,
}

/// Begins to write into `dir`, after removing what killed writers left there.
pub(crate) fn writing(dir: &Path) -> io::Result<Writing> {
    let folder = File::open(dir)?;
    if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
        sweep(dir)?;
    }
    // Waits for another's sweep at most: everybody else shares.
    flock(&folder, FlockOperation::LockShared)?;
    Ok(Writing { _folder: folder })
}

fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(DRAFT.as_bytes())
        {
            continue;
        }
        // One that cannot be removed is clutter, and no reason not to write.
        let _ = match entry.file_type()?.is_dir() {
            true => super::removal::clear(&entry.path()),
            false => fs::remove_file(entry.path()),
        };
    }
    Ok(())
}

/// Replaces the content of `path`, mode 0600.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    replace_if(path, content, |_| Ok(()))
}

/// The same, if `check` finds the new content good; it gets the path of the file that would take the
/// place of the old.
pub(crate) fn replace_if(
    path: &Path,
    content: &[u8],
    check: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let cannot = |error: io::Error| failed(path, &error);
    let dir = folder(path);
    let _writing = writing(dir).map_err(cannot)?;
    let draft = draft(dir, content).map_err(cannot)?;
    check(draft.path())?;
    draft.persist(path).map_err(|error| cannot(error.error))?;
    sync_dir(dir).map_err(cannot)
}

/// Writes `path` unless it exists; of two that try at once, one wins and neither tears it.
pub(crate) fn create_once(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let dir = folder(path);
        fs::create_dir_all(dir)?;
        let _writing = writing(dir)?;
        match draft(dir, content)?.persist_noclobber(path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
            _ => sync_dir(dir),
        }
    };
    write().map_err(|error| failed(path, &error))
}

fn draft(dir: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(DRAFT).tempfile_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::doing(format!("cannot write `{}`", path.display()), error)
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Takes the lock that serialises changes to one sandbox's files; freed when dropped.
pub(crate) fn lock_exclusive(path: &Path) -> Result<File, Failure> {
    let cannot =
        |error: io::Error| Failure::doing(format!("cannot lock `{}`", path.display()), &error);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(cannot)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|errno| cannot(errno.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_of_dead_writers_go_and_those_of_living_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let names = || {
            let entries = fs::read_dir(dir.path()).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let lay = |name: &str| fs::write(dir.path().join(name), "half").unwrap();
        lay(".draft-dead");
        fs::create_dir_all(dir.path().join(".draft-folder/sub")).unwrap();
        lay(".other");
        let living = writing(dir.path()).unwrap();
        assert_eq!(names(), [".other"]);
        lay(".draft-living");
        replace(&dir.path().join("file"), b"whole").unwrap();
        assert_eq!(names(), [".draft-living", ".other", "file"]);
        drop(living);
        create_once(&dir.path().join("file"), b"not this").unwrap();
        assert_eq!(names(), [".other", "file"]);
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"whole");
    }
}
