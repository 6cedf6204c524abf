//! The shared cache directory: entries that are either whole or absent.
//!
//! An entry is built in a directory beside its final place and renamed into it. Builders of the same entry wait
//! for each other on a lock file; whoever holds the lock may delete what a killed builder left behind.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why the cache could not hold an entry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("`{}` could not be written", path.display())]
    Io {
        /// The file or directory concerned.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        let Self::Io { source, .. } = self;
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("free some disk space and try again".to_owned())
            }
            io::ErrorKind::PermissionDenied => {
                Some("make the folder writable for this user".to_owned())
            }
            _ => None,
        }
    }

    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A cache directory, usually `~/.sandboxd`.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache below `root`, which is made on first use.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The cache's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the entry `name` of `kind` is or would be.
    pub fn path(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join(kind).join(name)
    }

    /// The entry `name` of `kind`, if it is there.
    pub fn find(&self, kind: &str, name: &str) -> Option<PathBuf> {
        let path = self.path(kind, name);
        path.is_dir().then_some(path)
    }

    /// The names of all entries of `kind`, sorted.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join(kind)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    /// Returns the entry `name` of `kind`, letting `build` fill a fresh directory when it is absent.
    ///
    /// Nothing appears under the final name unless `build` succeeded and its files are on disk. A second builder
    /// of the same entry waits and then finds it.
    pub fn ensure<E: From<Error>>(
        &self,
        kind: &str,
        name: &str,
        build: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        if let Some(found) = self.find(kind, name) {
            return Ok(found);
        }
        let folder = self.root.join(kind);
        fs::create_dir_all(&folder).map_err(Error::at(&folder))?;
        let _lock = lock(&folder.join(format!(".{name}.lock")))?;
        if let Some(found) = self.find(kind, name) {
            return Ok(found);
        }
        let draft = Draft::new(folder.join(format!(".{name}.draft")))?;
        build(&draft.path)?;
        let target = folder.join(name);
        draft.publish(&target)?;
        Ok(target)
    }
}

/// A directory under construction, removed again unless it is published.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn new(path: PathBuf) -> Result<Self, Error> {
        // Held under the entry's lock: an existing draft belongs to a builder that died.
        remove_all(&path).map_err(Error::at(&path))?;
        fs::create_dir(&path).map_err(Error::at(&path))?;
        Ok(Self { path })
    }

    fn publish(self, target: &Path) -> Result<(), Error> {
        sync_tree(&self.path).map_err(Error::at(&self.path))?;
        fs::rename(&self.path, target).map_err(Error::at(target))?;
        if let Some(parent) = target.parent() {
            sync(parent).map_err(Error::at(parent))?;
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `publish` there is nothing left at this path; otherwise the failure is already being reported.
        let _ = remove_all(&self.path);
    }
}

/// Takes an exclusive lock on `path`, waiting for its holder. It is released when the file is dropped.
fn lock(path: &Path) -> Result<File, Error> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(Error::at(path))?;
    file.lock().map_err(Error::at(path))?;
    Ok(file)
}

/// Removes a draft, but never through a mount: what is mounted below it is not ours to delete.
fn remove_all(path: &Path) -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if has_mount_below(path, &mounts) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether something is mounted at or below `path`, by the fifth field of mountinfo (proc_pid_mountinfo(5)).
fn has_mount_below(path: &Path, mounts: &str) -> bool {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .map(unescape)
        .any(|point| Path::new(&point).starts_with(&path))
}

/// The kernel writes these four bytes in octal.
fn unescape(point: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    escapes
        .iter()
        .fold(point.to_owned(), |text, (octal, byte)| {
            text.replace(octal, byte)
        })
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Syncs the files directly in `dir`; deeper trees are re-creatable from them and not worth the wait.
fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            sync(&entry.path())?;
        }
    }
    sync(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn entries(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn concurrent_builders_build_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        let built = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let path = cache
                        .ensure("things", "a", |draft| {
                            built.fetch_add(1, Ordering::SeqCst);
                            fs::write(draft.join("file"), "whole").map_err(Error::at(draft))
                        })
                        .unwrap();
                    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "whole");
                });
            }
        });
        assert_eq!(built.load(Ordering::SeqCst), 1);
        assert_eq!(cache.names("things"), ["a"]);
    }

    #[test]
    fn a_failed_or_killed_build_leaves_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        let stale = dir.path().join("things/.a.draft/half");
        fs::create_dir_all(&stale).unwrap();
        let failed = cache.ensure("things", "a", |draft| {
            assert!(entries(draft).is_empty(), "a stale draft is emptied first");
            Err(Error::Io {
                path: draft.to_owned(),
                source: io::ErrorKind::StorageFull.into(),
            })
        });
        assert_eq!(
            failed.unwrap_err().help().unwrap(),
            "free some disk space and try again"
        );
        assert_eq!(entries(&dir.path().join("things")), [".a.lock"]);
        assert!(cache.find("things", "a").is_none());
    }

    #[test]
    fn a_mount_below_a_draft_is_found() {
        let mounts = "36 35 98:0 / /cache/.a.draft/tree/proc ro - proc proc ro\n\
                      37 35 98:0 / /cache/with\\040space ro - proc proc ro\n";
        let rows = [
            ("/cache/.a.draft", true),
            ("/cache/.a.draft/tree/proc", true),
            ("/cache/.a.draf", false),
            ("/cache/.b.draft", false),
            ("/cache/with space", true),
        ];
        for (path, below) in rows {
            assert_eq!(has_mount_below(Path::new(path), mounts), below, "{path}");
        }
    }
}
