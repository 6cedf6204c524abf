//! The entries of one layer, checked: what each asks to be done to the tree.

use std::io::Read;

use super::Refusal;
use super::path::{self, Name};
use super::pax::Pax;
use super::tree::Meta;

/// The most bytes of an extended header. Paths and attributes need at most a tenth.
const LARGEST_HEADER: u64 = 1 << 20;

/// The longest target of a symbolic link, in bytes.
const LONGEST_TARGET: usize = 4095;

/// What an entry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Put something there.
    Put {
        /// Empty for the root.
        path: Vec<Name>,
        meta: Meta,
        what: What,
    },
    /// Remove what lower layers have there.
    Whiteout { path: Vec<Name> },
    /// Remove all that lower layers have in this directory.
    Opaque { path: Vec<Name> },
}

/// What is put.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    Directory,
    File { size: u64 },
    Symlink(Vec<u8>),
    HardLink(Vec<Name>),
    Fifo,
}

/// Why reading a layer stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream broke, or is not a tar stream.
    #[error("the layer cannot be read")]
    Read(#[from] std::io::Error),
    /// An entry that no well-meaning image has.
    #[error("the entry `{path}` is refused: {why}")]
    Refused {
        /// The entry's path, escaped for a terminal.
        path: String,
        /// What is wrong with it.
        why: Refusal,
    },
}

/// Calls `take` with every change that a layer makes, its number in the layer, and its content.
pub(super) fn each(
    layer: &mut dyn Read,
    mut take: impl FnMut(u64, Change, &mut dyn Read) -> Result<(), Failure>,
) -> Result<(), Error> {
    let mut archive = tar::Archive::new(layer);
    let mut ahead = Ahead::default();
    // Raw: names and attributes are put together here, within bounds. A size that only an extended header tells
    // is refused below, so raw reading never loses its place.
    let entries = archive.entries()?.raw(true);
    for (number, entry) in (0..).zip(entries) {
        let mut entry = entry?;
        if ahead.hear(&mut entry)? {
            continue;
        }
        let ahead = std::mem::take(&mut ahead);
        let name = ahead.path(&entry);
        let named = |why| Error::Refused {
            path: name.escape_ascii().to_string(),
            why,
        };
        let Some(change) = ahead.change(&name, &entry).map_err(named)? else {
            continue;
        };
        take(number, change, &mut entry).map_err(|failure| match failure {
            Failure::Refused(why) => named(why),
            Failure::Io(error) => Error::Read(error),
        })?;
    }
    Ok(())
}

/// Why a change could not be made.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(Refusal),
    Io(std::io::Error),
}

impl From<Refusal> for Failure {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// What special entries said about the entry that follows them.
#[derive(Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
}

impl Ahead {
    /// Takes a special entry; false if it is an ordinary one.
    fn hear<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<bool, Error> {
        match entry.header().entry_type() {
            tar::EntryType::GNULongName => self.path = Some(header_text(entry)?),
            tar::EntryType::GNULongLink => self.link = Some(header_text(entry)?),
            tar::EntryType::XHeader => {
                let text = bounded(entry)?;
                self.pax = Pax::parse(&text).map_err(|why| Error::Refused {
                    path: entry.path_bytes().escape_ascii().to_string(),
                    why,
                })?;
            }
            // Nothing that an image needs is global: git archives put a comment there.
            tar::EntryType::XGlobalHeader => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn path<R: Read>(&self, entry: &tar::Entry<'_, R>) -> Vec<u8> {
        let long = self.pax.path.as_ref().or(self.path.as_ref());
        long.cloned()
            .unwrap_or_else(|| entry.path_bytes().into_owned())
    }

    fn link<R: Read>(&self, entry: &tar::Entry<'_, R>) -> Vec<u8> {
        let long = self.pax.link.as_ref().or(self.link.as_ref());
        long.cloned()
            .or_else(|| Some(entry.link_name_bytes()?.into_owned()))
            .unwrap_or_default()
    }

    /// What the entry called `name` asks for; nothing if it is of no use in a guest.
    fn change<R: Read>(
        self,
        name: &[u8],
        entry: &tar::Entry<'_, R>,
    ) -> Result<Option<Change>, Refusal> {
        let path = path::split(name)?;
        if let Some(whiteout) = whiteout(&path)? {
            return Ok(whiteout);
        }
        let Some(what) = self.what(&path, entry)? else {
            return Ok(None);
        };
        if path.is_empty() && what != What::Directory {
            return Err(Refusal::Root);
        }
        let meta = self.meta(entry)?;
        Ok(Some(Change::Put { path, meta, what }))
    }

    fn what<R: Read>(
        &self,
        path: &[Name],
        entry: &tar::Entry<'_, R>,
    ) -> Result<Option<What>, Refusal> {
        let link = self.link(entry);
        let what = match entry.header().entry_type() {
            _ if self.pax.sparse => return Err(Refusal::Sparse),
            tar::EntryType::GNUSparse => return Err(Refusal::Sparse),
            tar::EntryType::Regular | tar::EntryType::Continuous => self.file(entry)?,
            tar::EntryType::Directory => What::Directory,
            tar::EntryType::Fifo => What::Fifo,
            tar::EntryType::Link => What::HardLink(path::split(&link)?),
            tar::EntryType::Symlink => {
                if link.is_empty() || link.len() > LONGEST_TARGET || link.contains(&0) {
                    return Err(Refusal::Symlink);
                }
                What::Symlink(link)
            }
            // The guest mounts its own /dev over these. Images of some distributions have them.
            tar::EntryType::Char | tar::EntryType::Block
                if path.first().map(Name::as_bytes) == Some(b"dev") =>
            {
                return Ok(None);
            }
            tar::EntryType::Char | tar::EntryType::Block => return Err(Refusal::Device),
            _ => return Err(Refusal::Type),
        };
        Ok(Some(what))
    }

    fn file<R: Read>(&self, entry: &tar::Entry<'_, R>) -> Result<What, Refusal> {
        let size = entry.header().entry_size().map_err(|_| Refusal::Header)?;
        match self.pax.size {
            // Only files over 8 GiB have it in the extended header alone.
            Some(other) if other != size => Err(Refusal::Budget),
            _ => Ok(What::File { size }),
        }
    }

    fn meta<R: Read>(self, entry: &tar::Entry<'_, R>) -> Result<Meta, Refusal> {
        let header = entry.header();
        let old = header.as_old();
        let mode = field(&old.mode, header.mode().map(u64::from))? & 0o7777;
        let owner = |pax: Option<u32>, field: Result<u32, Refusal>| pax.map_or(field, Ok);
        Ok(Meta {
            mode: mode as u16,
            uid: owner(self.pax.uid, field(&old.uid, header.uid()))?,
            gid: owner(self.pax.gid, field(&old.gid, header.gid()))?,
            mtime: self.pax.mtime.or(header.mtime().ok()).unwrap_or(0),
            xattrs: self.pax.xattrs,
        })
    }
}

/// A number of a header. Packers leave out what is zero.
fn field(raw: &[u8], parsed: std::io::Result<u64>) -> Result<u32, Refusal> {
    if raw.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    let number = parsed.map_err(|_| Refusal::Header)?;
    u32::try_from(number).map_err(|_| Refusal::Header)
}

/// The whiteout that an entry's last name stands for (OCI image specification, "Whiteouts").
///
/// The outer `None` is an ordinary entry; the inner one, bookkeeping of aufs that nobody needs any more.
fn whiteout(path: &[Name]) -> Result<Option<Option<Change>>, Refusal> {
    let Some((last, parents)) = path.split_last() else {
        return Ok(None);
    };
    let Some(hidden) = last.as_bytes().strip_prefix(b".wh.") else {
        return Ok(None);
    };
    let change = match hidden {
        b".wh..opq" => Some(Change::Opaque {
            path: parents.to_vec(),
        }),
        _ if hidden.starts_with(b".wh.") => None,
        _ => {
            let hidden = Name::new(hidden).map_err(|_| Refusal::Whiteout)?;
            let mut path = parents.to_vec();
            path.push(hidden);
            Some(Change::Whiteout { path })
        }
    };
    Ok(Some(change))
}

/// A long name: its bytes up to the NUL that GNU tar ends it with.
fn header_text<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, Error> {
    let mut text = bounded(entry)?;
    if text.last() == Some(&0) {
        text.pop();
    }
    Ok(text)
}

fn bounded<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, Error> {
    if entry.size() > LARGEST_HEADER {
        return Err(Error::Refused {
            path: entry.path_bytes().escape_ascii().to_string(),
            why: Refusal::TooLong,
        });
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
