//! Files of a shared folder that the guest must not see.
//!
//! A hidden name does not exist for the guest: it is not found, not listed, and cannot be made. Patterns
//! are lines of gitignore(5), relative to the folder, with two differences that keep them tight. A
//! pattern with a final `/` hides files of that name, too: whether something is a folder is known only
//! after it was looked up, and what is hidden is not even looked up. And a folder that a pattern's path
//! leads through can't be renamed by the guest, because the pattern would no longer lead to its files.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ignore::Error as PatternError;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The inode number of the shared folder itself (`FUSE_ROOT_ID`).
const ROOT: u64 = 1;

/// The deepest folder that a path is made for. Names of 255 bytes to this depth are more than the
/// kernel takes in a path.
const DEEPEST: usize = 1024;

/// Patterns, and where the folders are that the guest holds.
#[derive(Debug)]
pub struct Hidden {
    files: Gitignore,
    /// Folders that patterns lead through.
    ways: Gitignore,
    folders: Mutex<HashMap<u64, Folder>>,
}

/// A folder that the guest has looked up.
#[derive(Debug)]
struct Folder {
    parent: u64,
    name: PathBuf,
    /// The kernel's lookup count.
    count: u64,
}

impl Hidden {
    /// Compiles the patterns.
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        let ways: Vec<String> = patterns.iter().flat_map(|line| ways(line)).collect();
        Ok(Self {
            files: compile(patterns)?,
            ways: compile(&ways)?,
            folders: Mutex::default(),
        })
    }

    fn folders(&self) -> MutexGuard<'_, HashMap<u64, Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `name` in this folder is hidden. So is everything in a folder that nobody has looked up.
    pub(super) fn hides(&self, parent: u64, name: &CStr) -> bool {
        self.files_in(parent).hides(name)
    }

    /// Whether the file at this path, relative to the shared folder, is hidden, if what it lies in is not.
    pub(crate) fn hides_path(&self, path: &Path) -> bool {
        self.files.matched(path, true).is_ignore()
    }

    /// The same question about many names of one folder.
    pub(super) fn files_in(&self, parent: u64) -> FilesIn<'_> {
        FilesIn {
            hidden: self,
            folder: self.path(parent),
        }
    }

    /// Whether renaming `name` would lead its files out of a pattern's reach.
    pub(super) fn pins(&self, parent: u64, name: &CStr) -> bool {
        let Some(folder) = self.path(parent) else {
            return true;
        };
        self.ways.matched(folder.join(path(name)), true).is_ignore()
    }

    /// The guest was given a folder: remembers where it is.
    pub(super) fn found(&self, inode: u64, parent: u64, name: &CStr) {
        let mut folders = self.folders();
        let count = folders.get(&inode).map_or(0, |folder| folder.count);
        let folder = Folder {
            parent,
            name: path(name).to_owned(),
            count: count.saturating_add(1),
        };
        folders.insert(inode, folder);
    }

    /// The guest gave so many of its references back.
    pub(super) fn forgotten(&self, inode: u64, count: u64) {
        let mut folders = self.folders();
        if let Some(folder) = folders.get_mut(&inode) {
            folder.count = folder.count.saturating_sub(count);
            if folder.count == 0 {
                folders.remove(&inode);
            }
        }
    }

    /// Where the folder is, relative to the shared one.
    fn path(&self, mut inode: u64) -> Option<PathBuf> {
        let folders = self.folders();
        let mut names = Vec::new();
        while inode != ROOT {
            let folder = folders.get(&inode)?;
            names.push(folder.name.as_path());
            inode = folder.parent;
            if names.len() > DEEPEST {
                return None;
            }
        }
        names.reverse();
        Some(names.iter().collect())
    }
}

/// One folder, as the patterns see it.
#[derive(Debug)]
pub(super) struct FilesIn<'a> {
    hidden: &'a Hidden,
    folder: Option<PathBuf>,
}

impl FilesIn<'_> {
    pub(super) fn hides(&self, name: &CStr) -> bool {
        let Some(folder) = &self.folder else {
            return true;
        };
        self.hidden.hides_path(&folder.join(path(name)))
    }
}

fn path(name: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(name.to_bytes()))
}

fn compile(patterns: &[String]) -> Result<Gitignore, PatternError> {
    let mut builder = GitignoreBuilder::new("");
    for line in patterns {
        builder.add_line(None, line)?;
    }
    builder.build()
}

/// Patterns of the folders that a pattern leads through: of `a/*/key` they are `/a/` and `/a/*/`.
fn ways(line: &str) -> Vec<String> {
    let line = line.trim_end();
    let pattern = line.trim_end_matches('/').trim_start_matches('/');
    if pattern.starts_with('#') || pattern.starts_with('!') {
        return Vec::new();
    }
    let ends = pattern.match_indices('/').map(|(at, _)| at);
    ends.filter_map(|at| pattern.get(..at))
        .filter(|way| *way != "**")
        .map(|way| format!("/{way}/"))
        .collect()
}

#[cfg(test)]
mod tests;
