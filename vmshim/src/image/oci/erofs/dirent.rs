//! A directory's content: blocks of fixed-size entries, each block's names behind its entries, sorted throughout.

use std::collections::BTreeMap;

use super::super::path::Name;
use super::super::tree::{Edge, Kind, Node, NodeId};
use super::{BLOCK, Fields};

/// Bytes of an entry without its name.
const ENTRY: usize = 12;

/// A node's type as directories record it (`EROFS_FT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileType {
    File = 1,
    Directory = 2,
    Fifo = 5,
    Symlink = 7,
}

impl FileType {
    pub(super) fn of(node: &Node) -> Self {
        match node.kind {
            Kind::File { .. } => Self::File,
            Kind::Directory(_) => Self::Directory,
            Kind::Fifo => Self::Fifo,
            Kind::Symlink(_) => Self::Symlink,
        }
    }
}

/// One entry: name, inode number, type.
type Entry<'a> = (&'a [u8], u64, FileType);

/// The content of a directory with these children, `.` and `..` included.
pub(super) fn listing(
    own: u64,
    parent: u64,
    children: &BTreeMap<Name, Edge>,
    look_up: impl Fn(NodeId) -> (u64, FileType),
) -> Vec<u8> {
    let mut entries: Vec<Entry<'_>> = vec![
        (b".", own, FileType::Directory),
        (b"..", parent, FileType::Directory),
    ];
    entries.extend(children.iter().map(|(name, edge)| {
        let (nid, file_type) = look_up(edge.node);
        (name.as_bytes(), nid, file_type)
    }));
    // The kernel searches by bisection; names such as `+x` sort before `.`.
    entries.sort_unstable_by_key(|(name, ..)| *name);

    let mut out = Fields::default();
    for block in blocks(&entries) {
        let filled = out.0.len().next_multiple_of(BLOCK as usize);
        out.0.resize(filled, 0);
        write_block(&mut out, block);
    }
    out.0
}

/// How long [`listing`] will be, in bytes.
pub(super) fn size(children: &BTreeMap<Name, Edge>) -> u64 {
    let listing = listing(0, 0, children, |_| (0, FileType::File));
    u64::try_from(listing.len()).unwrap_or(u64::MAX)
}

/// Splits the entries so that each part fits a block.
fn blocks<'a, 'b>(entries: &'b [Entry<'a>]) -> Vec<&'b [Entry<'a>]> {
    let mut blocks = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut used = 0;
        let fitting = rest.iter().take_while(|(name, ..)| {
            used += ENTRY + name.len();
            used <= BLOCK as usize
        });
        let (block, others) = rest.split_at(fitting.count());
        blocks.push(block);
        rest = others;
    }
    blocks
}

fn write_block(out: &mut Fields, entries: &[Entry<'_>]) {
    let mut name_at = ENTRY * entries.len();
    for (name, nid, file_type) in entries {
        // A block has 4096 bytes, so an offset in it fits.
        out.u64(*nid).u16(name_at as u16).u8(*file_type as u8).u8(0);
        name_at += name.len();
    }
    for (name, ..) in entries {
        out.bytes(name);
    }
}
