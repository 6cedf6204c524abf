//! Lists that were made ready before: what the caller keeps of them, and where.

use std::{fmt, io, sync::Arc};

/// Tells one content of a file from another without reading it, such as by its inode, size and times. Opaque here.
pub type Stamp = [u8; 64];

/// Bytes that are read where they are needed and not held in memory.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// How many there are.
    fn size(&self) -> u64;

    /// Fills `bytes` with those from `offset` on.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

/// A list as it was saved.
#[derive(Debug, Clone)]
pub struct SavedList {
    /// The list's name, as in [`crate::language::Source`].
    pub name: Arc<str>,
    /// What the list's file is like now. The image is believed only if the list was like that when it was made.
    pub stamp: Stamp,
    /// What was saved.
    pub image: Arc<dyn ReadAt>,
}

/// Writes the image of a list, with the stamp of the file that it was made from.
pub type WriteImage<'w> = dyn Fn(&Stamp, &mut dyn io::Write) -> io::Result<()> + 'w;

/// Where a caller keeps the images of long lists that block.
///
/// An image holds a hash of 46 secret bits for each name, and text and offsets apart, which are read only to tell
/// people of a rule. A policy made with it blocks a name that is not listed once in some 10¹² questions; nothing
/// else is ever taken for a listed name, and an allowed name is never decided by an image.
///
/// INVARIANT: nobody but the user can write there. What is there may be missing, cut off, damaged, of another
/// version or of another list, and is then not believed; but it is not proof against a forger.
pub trait ListStore {
    /// What names are hashed with: random, and the same for all images of the store.
    fn key(&self) -> [u64; 3];

    /// The image of the list that is called `name` in the file `from`.
    fn find(&mut self, name: &str, from: &str) -> Option<SavedList>;

    /// Saves the image of a list that was just loaded.
    fn save(&mut self, name: &str, from: &str, write: &WriteImage<'_>) -> Option<SavedList>;
}
