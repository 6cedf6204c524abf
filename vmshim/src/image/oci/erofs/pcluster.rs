//! A large file's content: lz4 clusters, and the map that finds them.
//!
//! Content is cut into pieces of 32 KiB. A piece that shrinks becomes one cluster of whole blocks; one that does not
//! is stored as it is, each block its own cluster. The map has one 8-byte entry for each 4 KiB of content
//! (`struct z_erofs_lcluster_index`): the head of a cluster, a follower in it, or, last, the mark of the end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::{BLOCK, Fields};

/// Blocks of content that are compressed together: larger shrinks better, smaller reads faster at random.
const PIECE_BLOCKS: usize = 8;

/// Bytes of content that are compressed together.
const PIECE: usize = PIECE_BLOCKS * BLOCK_BYTES;

const BLOCK_BYTES: usize = BLOCK as usize;

/// The most blocks that a cluster has; the superblock declares it.
pub(super) const MOST_BLOCKS: u16 = PIECE_BLOCKS as u16;

/// Bytes before the map's first entry: `struct z_erofs_map_header` and as much unused.
const MAP_HEADER: u64 = 16;

/// What a map's entry says of its 4 KiB (`Z_EROFS_LCLUSTER_TYPE_*`).
enum Place {
    /// Stored in this block as it is, from this offset in the 4 KiB on.
    Plain { offset: u16, block: u32 },
    /// Begins the cluster at this block.
    Head { block: u32 },
    /// In the cluster that began `back` entries before; the next begins `ahead` entries after.
    Follower { back: u16, ahead: u16 },
}

/// Bytes of the map of a file of `size` bytes.
pub(super) fn map_size(size: u64) -> u64 {
    MAP_HEADER + 8 * size.div_ceil(BLOCK)
}

/// Writes one file's clusters from a given block on.
pub(super) struct Writer<'a> {
    file: &'a File,
    first: u64,
    next: u64,
    map: Fields,
}

impl<'a> Writer<'a> {
    pub(super) fn new(file: &'a File, first: u64) -> Self {
        Self {
            file,
            first,
            next: first,
            map: Fields::default(),
        }
    }

    /// Blocks written.
    pub(super) fn blocks(&self) -> u64 {
        self.next - self.first
    }

    /// Writes `size` bytes of content and returns the map.
    pub(super) fn write(&mut self, content: &mut dyn Read, size: u64) -> io::Result<Vec<u8>> {
        const ADVISE_BIG_PCLUSTER: u16 = 0x2;
        self.map
            .u32(0)
            .u16(ADVISE_BIG_PCLUSTER)
            .u8(0)
            .u8(0)
            .zeros(8);
        let mut piece = vec![0; PIECE];
        let mut packed = vec![0; lz4_flex::block::get_maximum_output_size(PIECE)];
        let mut left = size;
        while left > 0 {
            let length = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let piece = piece.get_mut(..length).unwrap_or_default();
            content.read_exact(piece)?;
            let packed_length =
                lz4_flex::block::compress_into(piece, &mut packed).map_err(io::Error::other)?;
            let packed = packed.get(..packed_length).unwrap_or_default();
            if packed.len().div_ceil(BLOCK_BYTES) < length.div_ceil(BLOCK_BYTES) {
                self.write_packed(packed, length)?;
            } else {
                self.write_plain(piece)?;
            }
            left -= u64::try_from(length).map_err(io::Error::other)?;
        }
        Ok(std::mem::take(&mut self.map.0))
    }

    fn write_plain(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all_at(piece, self.next * BLOCK)?;
        for _ in piece.chunks(BLOCK_BYTES) {
            let block = u32::try_from(self.next).map_err(io::Error::other)?;
            self.note(Place::Plain { offset: 0, block });
            self.next += 1;
        }
        Ok(())
    }

    fn write_packed(&mut self, packed: &[u8], length: usize) -> io::Result<()> {
        /// In a cluster's first follower: `back` holds the cluster's number of blocks instead.
        const COUNT: u16 = 1 << 11;
        let blocks = packed.len().div_ceil(BLOCK_BYTES);
        let padding = blocks * BLOCK_BYTES - packed.len();
        let at = self.next * BLOCK + u64::try_from(padding).map_err(io::Error::other)?;
        self.file.write_all_at(packed, at)?;

        // At most PIECE_BLOCKS, so all of these fit.
        let whole = (length / BLOCK_BYTES) as u16;
        let tail = (length % BLOCK_BYTES) as u16;
        let block = u32::try_from(self.next).map_err(io::Error::other)?;
        self.note(Place::Head { block });
        for back in 1..whole {
            let ahead = whole - back;
            let back = if back == 1 {
                COUNT | blocks as u16
            } else {
                back
            };
            self.note(Place::Follower { back, ahead });
        }
        if tail > 0 {
            // Where the content ends: a cluster that begins there and has nothing.
            self.note(Place::Plain {
                offset: tail,
                block: 0,
            });
        }
        self.next += u64::try_from(blocks).map_err(io::Error::other)?;
        Ok(())
    }

    fn note(&mut self, place: Place) {
        match place {
            Place::Plain { offset, block } => self.map.u16(0).u16(offset).u32(block),
            Place::Head { block } => self.map.u16(1).u16(0).u32(block),
            Place::Follower { back, ahead } => self.map.u16(2).u16(0).u16(back).u16(ahead),
        };
    }
}
