//! A folder's entries without those that are hidden.

use std::ffi::CString;
use std::sync::Arc;

use virtiofsd::filesystem::{DirEntry, DirectoryIterator};

use super::hidden::Hidden;

/// Entries of a folder, filtered.
pub(super) struct Listing<D> {
    entries: D,
    folder: u64,
    hidden: Option<Arc<Hidden>>,
    /// The name told last.
    name: CString,
}

impl<D> Listing<D> {
    pub(super) fn new(entries: D, folder: u64, hidden: Option<&Arc<Hidden>>) -> Self {
        Self {
            entries,
            folder,
            hidden: hidden.cloned(),
            name: CString::default(),
        }
    }
}

impl<D: DirectoryIterator> DirectoryIterator for Listing<D> {
    fn next(&mut self) -> Option<DirEntry<'_>> {
        let Some(hidden) = &self.hidden else {
            return self.entries.next();
        };
        let here = hidden.files_in(self.folder);
        let (ino, offset, type_) = loop {
            let entry = self.entries.next()?;
            let special = matches!(entry.name.to_bytes(), b"." | b"..");
            if special || !here.hides(entry.name) {
                // Copied, because the borrow checker takes the loop for a second use of the entry.
                self.name = entry.name.to_owned();
                break (entry.ino, entry.offset, entry.type_);
            }
        };
        Some(DirEntry {
            ino,
            offset,
            type_,
            name: &self.name,
        })
    }
}
