//! The 64 bytes of an inode (`struct erofs_inode_extended`).

use super::super::tree::{Kind, Node};
use super::{Fields, xattr};

/// Bytes of an inode without its attributes.
pub(super) const SIZE: u64 = 64;

/// How a node's content is stored (`EROFS_INODE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// In blocks of its own.
    Plain = 0,
    /// In clusters that a map behind the inode lists.
    Compressed = 1,
    /// Right behind the inode and its attributes.
    Inline = 2,
}

/// All that an inode records.
pub(super) struct Inode<'a> {
    pub(super) layout: Layout,
    pub(super) node: &'a Node,
    /// Bytes of content.
    pub(super) size: u64,
    /// The first block of plain content, or the number of blocks of compressed content.
    pub(super) place: u32,
    pub(super) links: u32,
    pub(super) number: u64,
}

impl Inode<'_> {
    /// The inode and its attributes.
    pub(super) fn encode(&self) -> Vec<u8> {
        const EXTENDED: u16 = 1;
        let meta = &self.node.meta;
        let attributes = xattr::encode(&meta.xattrs);
        let mut out = Fields::default();
        out.u16(EXTENDED | (self.layout as u16) << 1)
            .u16(xattr::count(&meta.xattrs))
            .u16(file_bits(&self.node.kind) | meta.mode & 0o7777)
            .u16(0)
            .u64(self.size)
            .u32(self.place)
            .u32(self.number as u32) // for 32-bit stat(2) only
            .u32(meta.uid)
            .u32(meta.gid)
            .u64(meta.mtime)
            .u32(0)
            .u32(self.links)
            .zeros(16)
            .bytes(&attributes);
        out.0
    }
}

/// The file type in a mode, as in inode(7).
fn file_bits(kind: &Kind) -> u16 {
    match kind {
        Kind::Fifo => 0o010_000,
        Kind::Directory(_) => 0o040_000,
        Kind::File { .. } => 0o100_000,
        Kind::Symlink(_) => 0o120_000,
    }
}
