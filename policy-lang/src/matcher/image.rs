//! Lists that block, made ready and saved: a table that is read at once, and text that stays where it is.
//!
//! An image is a header, the lines of the table, remarks (what else stands in the list), the line counts of the
//! text, checks of its stretches, and then, never read as a whole, the offset of each slot's name and the text.

use super::{
    buckets::{Buckets, Entry, SLOTS},
    lines::{LineIndex, STRIDE},
    listed_name::{ListedName, in_name},
    suffix::Key,
};
use crate::{
    Position,
    saved::{ReadAt, Stamp},
};
use sha2::{Digest as _, Sha256};
use std::{io, ops::ControlFlow, sync::Arc};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Bytes of text, some thirteen thousand names, below which reading a list takes a millisecond or two anyway.
pub(crate) const WORTH: usize = 1 << 18;
/// The last byte is the version.
const MAGIC: [u8; 8] = *b"sbxlist\x01";
/// A name, and the byte after it.
const NAME: u64 = 254;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    /// Also tells a machine with another order of bytes.
    version: u64,
    key: [u64; 3],
    stamp: Stamp,
    /// SHA-256 of the text.
    digest: [u8; 32],
    /// How many lines of the table, bytes of remarks, line counts and checks, and bytes of text there are.
    lines: u64,
    remarks: u64,
    counts: u64,
    text: u64,
    single_labels: u64,
    /// CRC-32 of all before the offsets, this left out.
    check: u64,
}

/// Where the parts of an image are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Places {
    remarks: u64,
    counts: u64,
    offsets: u64,
    text: u64,
    end: u64,
}

impl Header {
    /// `None` if no image can be that long.
    fn places(&self) -> Option<Places> {
        let remarks = (size_of::<Self>() as u64).checked_add(self.lines.checked_mul(64)?)?;
        let counts = remarks.checked_add(self.remarks)?;
        let offsets = counts.checked_add(self.counts.checked_mul(4)?)?;
        let slots = self.lines.checked_mul(SLOTS as u64)?;
        let text = offsets.checked_add(slots.checked_mul(4)?)?;
        let end = text.checked_add(self.text)?;
        Some(Places {
            remarks,
            counts,
            offsets,
            text,
            end,
        })
    }

    fn check(mut self, rest: [&[u8]; 3]) -> u64 {
        self.check = 0;
        let mut check = crc32fast::Hasher::new();
        check.update(self.as_bytes());
        rest.iter().for_each(|part| check.update(part));
        u64::from(check.finalize())
    }
}

/// An image that is not written yet.
#[derive(Debug)]
pub(crate) struct Draft<'t> {
    key: Key,
    names: Buckets,
    offsets: Vec<u32>,
    single_labels: bool,
    counts: Vec<u32>,
    remarks: &'t [u8],
    text: &'t str,
}

impl<'t> Draft<'t> {
    /// COST: for a million names a fifth of a second.
    pub(crate) fn new(key: Key, text: &'t str, names: &[ListedName], remarks: &'t [u8]) -> Self {
        let table = Buckets::roomy(names.len());
        let mut draft = Self {
            key,
            offsets: vec![0; table.slots()],
            names: table,
            single_labels: false,
            counts: LineIndex::of(text).0,
            remarks,
            text,
        };
        names.iter().for_each(|name| draft.add(*name));
        let stretches = text.as_bytes().chunks(STRIDE);
        draft.counts.extend(stretches.map(crc32fast::hash));
        draft
    }

    fn add(&mut self, listed: ListedName) {
        let name = listed.of(self.text).as_bytes();
        let mut labels = 0;
        let _ = self.key.suffixes(name, |start, hash| {
            labels += 1;
            match (start, labels) {
                (0, _) => self.insert(hash, listed),
                // Lookups start at two labels.
                (_, 1) => {}
                (..) => self.names.mark_longer(hash),
            }
            ControlFlow::Continue(())
        });
        self.single_labels |= labels == 1;
    }

    fn insert(&mut self, hash: u64, listed: ListedName) {
        let entry = Entry::new(listed.kind, Entry::rest(hash));
        if self.names.find(hash, |other| other == entry).is_none()
            && let Some(slot) = self.names.insert(hash, entry)
            && let Some(offset) = self.offsets.get_mut(slot)
        {
            *offset = listed.offset;
        }
    }

    /// Writes it, as made from a file with this stamp.
    pub(crate) fn write(&self, stamp: &Stamp, out: &mut dyn io::Write) -> io::Result<()> {
        let mut header = Header {
            magic: MAGIC,
            version: 1,
            key: self.key.0,
            stamp: *stamp,
            digest: Sha256::digest(self.text).into(),
            lines: self.names.lines.len() as u64,
            remarks: self.remarks.len() as u64,
            counts: self.counts.len() as u64,
            text: self.text.len() as u64,
            single_labels: self.single_labels.into(),
            check: 0,
        };
        let parts = [
            self.names.lines.as_bytes(),
            self.remarks,
            self.counts.as_bytes(),
        ];
        header.check = header.check(parts);
        out.write_all(header.as_bytes())?;
        parts.iter().try_for_each(|part| out.write_all(part))?;
        out.write_all(self.offsets.as_bytes())?;
        out.write_all(self.text.as_bytes())
    }
}

/// What of an image is held in memory.
#[derive(Debug)]
pub(crate) struct Image {
    pub(super) digest: [u8; 32],
    pub(super) names: Buckets,
    pub(super) single_labels: bool,
    pub(super) rest: Rest,
    /// What else stands in the list, as the writer of the image wrote it.
    pub(crate) remarks: Vec<u8>,
}

impl Image {
    /// Reads an image that was made with `key` from a file with `stamp`.
    ///
    /// COST: for a million names eight megabytes read and checked, a few milliseconds.
    pub(crate) fn read(
        key: Key,
        stamp: &Stamp,
        bytes: Arc<dyn ReadAt>,
    ) -> Result<Self, ImageError> {
        let mut header = Header::new_zeroed();
        bytes.read_at(header.as_mut_bytes(), 0)?;
        let known = header.magic == MAGIC && header.version == 1;
        let ours = known && header.key == key.0 && header.stamp == *stamp;
        let places = header
            .places()
            .filter(|places| ours && places.end == bytes.size());
        let Some(places) = places else {
            return Err(ImageError::Other);
        };
        // No longer than the file, so nothing can make it take more memory than that.
        let room = |count: u64| usize::try_from(count).map_err(|_| ImageError::Other);
        let mut names = Buckets::with_lines(room(header.lines)?);
        let mut remarks = vec![0; room(header.remarks)?];
        let mut counts = vec![0u32; room(header.counts)?];
        bytes.read_at(names.lines.as_mut_bytes(), size_of::<Header>() as u64)?;
        bytes.read_at(&mut remarks, places.remarks)?;
        bytes.read_at(counts.as_mut_bytes(), places.counts)?;
        let parts = [names.lines.as_bytes(), &remarks, counts.as_bytes()];
        if header.check != header.check(parts) {
            return Err(ImageError::Damaged);
        }
        let checks = counts.split_off(counts.len() / 2);
        Ok(Self {
            digest: header.digest,
            names,
            single_labels: header.single_labels != 0,
            remarks,
            rest: Rest {
                key,
                bytes,
                offsets: places.offsets,
                text: places.text,
                len: header.text,
                counts: LineIndex(counts),
                checks,
            },
        })
    }

    /// How many bytes its list has.
    pub(crate) fn text_bytes(&self) -> usize {
        usize::try_from(self.rest.len).unwrap_or(usize::MAX)
    }
}

/// What of an image is not held in memory, and where it is.
#[derive(Debug)]
pub(super) struct Rest {
    key: Key,
    bytes: Arc<dyn ReadAt>,
    offsets: u64,
    text: u64,
    len: u64,
    counts: LineIndex,
    /// CRC-32 of each stretch of the text.
    checks: Vec<u32>,
}

impl Rest {
    /// The whole text; nothing if it cannot be read.
    pub(super) fn text(&self) -> String {
        let mut text = vec![0; usize::try_from(self.len).unwrap_or(0)];
        let read = self.bytes.read_at(&mut text, self.text);
        let text = read.ok().and_then(|()| String::from_utf8(text).ok());
        text.unwrap_or_default()
    }

    /// The name in a slot and the place of its word, if the image still says so: this part of it was not checked
    /// when it was opened.
    ///
    /// COST: 128 KiB read and checked.
    pub(super) fn name(&self, slot: usize, entry: Entry) -> Option<(String, Position)> {
        let place = self.offsets + 4 * slot as u64;
        let offset = self.bytes_at(place, 4)?;
        let offset = u64::from(u32::from_ne_bytes(offset.try_into().ok()?));
        let rest = self.bytes_at(self.text + offset, self.len.checked_sub(offset)?.min(NAME))?;
        let len = rest.iter().position(|byte| !in_name(*byte));
        let name = rest.get(..len.unwrap_or(rest.len()))?;
        let is_it = Entry::rest(self.key.hash(name)) == entry.value();
        let name = str::from_utf8(name).ok().filter(|_| is_it)?;

        let stride = STRIDE as u64;
        let stretch = LineIndex::stretch(offset);
        // The line may start a stretch before.
        let start = stretch.saturating_sub(stride);
        let end = (stretch + stride).min(self.len);
        let window = self.bytes_at(self.text + start, end - start)?;
        let first = usize::try_from(start / stride).ok()?;
        let mut checks = self.checks.get(first..)?.iter();
        let sound = |stretch: &[u8]| checks.next() == Some(&crc32fast::hash(stretch));
        let before = usize::try_from(offset - start).ok()?;
        let sound = window.chunks(STRIDE).all(sound);
        let position = self.counts.position(window.get(..before)?, start);
        sound.then(|| (name.to_owned(), position))
    }

    fn bytes_at(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.bytes.read_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }
}

/// Why an image is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// It is none, or it is another list's, another version's or another machine's.
    #[error("it is not the image of this list")]
    Other,
    /// It is not as it was written.
    #[error("it is damaged")]
    Damaged,
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
}
