//! Writes an erofs image straight from a [`Tree`] and streams of file content.
//!
//! Why not mkfs.erofs: it packs a directory, and a directory that shows an image's owners, modes and capabilities
//! takes root, a sub-id range or fakeroot (whose extended attributes mkfs.erofs 1.5 cannot read). Reading a tar
//! stream instead needs erofs-utils 1.7. Written here, an image needs no privilege, no helper and no copy on disk,
//! and nothing of it ever becomes a file name on the host.
//!
//! Layout: block 0 begins with the superblock; inodes follow, each with its attributes, small content or map; then
//! data in blocks. Positions are planned from the tree alone, so content is written as it streams in, in any order.
//! Format: Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h of Linux 5.16, the oldest kernel meant.

mod dirent;
mod inode;
mod pcluster;
mod xattr;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use self::dirent::FileType;
use self::inode::{Inode, Layout};
use super::path::Name;
use super::tree::{Edge, Kind, Node, NodeId, Tree};

/// Bytes of a block.
const BLOCK: u64 = 4096;

/// Inodes are numbered by their place in units of this many bytes.
const SLOT: u64 = 32;

/// Where the superblock is.
const SUPERBLOCK: u64 = 1024;

/// The first inode's place: after the superblock (128 bytes) and the lz4 settings (16), on a slot's border.
const FIRST_INODE: u64 = 1184;

/// An image being written. It cannot be mounted before [`Image::finish`] put the superblock in place.
pub(super) struct Image<'a> {
    file: &'a File,
    tree: &'a Tree,
    plan: HashMap<NodeId, Planned>,
    /// The next free data block.
    next_block: u64,
}

/// Where a node's inode is and where its content goes.
#[derive(Clone, Copy, Debug)]
struct Planned {
    /// Byte offset of the inode.
    at: u64,
    /// How many names it has; directories count as the kernel counts them.
    links: u32,
    /// A directory's parent; the root is its own.
    parent: NodeId,
    layout: Layout,
}

impl<'a> Image<'a> {
    /// Plans the image of `tree` and writes everything but the content of files.
    pub(super) fn begin(file: &'a File, tree: &'a Tree) -> io::Result<Self> {
        let mut image = Self {
            file,
            tree,
            plan: HashMap::new(),
            next_block: 0,
        };
        let order = tree.walk();
        image.plan(&order);
        for id in order {
            image.write_node(id)?;
        }
        Ok(image)
    }

    /// Writes the content of the file `id`, which must be as long as the tree says.
    pub(super) fn write_file(&mut self, id: NodeId, content: &mut dyn Read) -> io::Result<()> {
        let Kind::File { size, .. } = self.tree.node(id).kind else {
            return Ok(());
        };
        let Some(planned) = self.plan.get(&id).copied() else {
            return Ok(());
        };
        match planned.layout {
            Layout::Inline | Layout::Plain => {
                let length = usize::try_from(size).map_err(io::Error::other)?;
                let mut bytes = vec![0; length];
                content.read_exact(&mut bytes)?;
                self.write_bytes(id, planned, &bytes)
            }
            Layout::Compressed => {
                let mut data = pcluster::Writer::new(self.file, self.next_block);
                let map = data.write(content, size)?;
                let blocks = data.blocks();
                self.next_block += blocks;
                let blocks = u32::try_from(blocks).map_err(io::Error::other)?;
                let inode = self.inode(id, planned, size, blocks);
                self.file.write_all_at(&inode, planned.at)?;
                let end = planned.at + u64::try_from(inode.len()).map_err(io::Error::other)?;
                self.file.write_all_at(&map, end.next_multiple_of(8))
            }
        }
    }

    /// Writes the superblock and makes the file a whole number of blocks.
    pub(super) fn finish(self) -> io::Result<()> {
        let blocks = u32::try_from(self.next_block).map_err(io::Error::other)?;
        self.file.set_len(self.next_block * BLOCK)?;
        let inodes = u64::try_from(self.plan.len()).map_err(io::Error::other)?;
        let root = self.nid(self.tree.root());
        let superblock = superblock(root, inodes, blocks)?;
        self.file.write_all_at(&superblock, SUPERBLOCK)
    }

    /// Gives every node a place.
    fn plan(&mut self, order: &[NodeId]) {
        let mut names: HashMap<NodeId, (u32, NodeId)> = HashMap::new();
        for parent in order {
            for edge in self.tree.node(*parent).children().into_iter().flatten() {
                names.entry(edge.1.node).or_insert((0, *parent)).0 += 1;
            }
        }
        let mut at = FIRST_INODE;
        for id in order {
            let node = self.tree.node(*id);
            let (names, parent) = names.get(id).copied().unwrap_or((1, *id));
            let links = match node.children() {
                Some(children) => 2 + subdirectories(self.tree, children),
                None => names,
            };
            let (start, end, layout) = place(at, node);
            let planned = Planned {
                at: start,
                links,
                parent,
                layout,
            };
            self.plan.insert(*id, planned);
            at = end.next_multiple_of(SLOT);
        }
        self.next_block = at.div_ceil(BLOCK);
    }

    /// Writes what is known of a node before any content arrives.
    fn write_node(&mut self, id: NodeId) -> io::Result<()> {
        let Some(planned) = self.plan.get(&id).copied() else {
            return Ok(());
        };
        let node = self.tree.node(id);
        match &node.kind {
            Kind::Directory(children) => {
                let parent = self.nid(planned.parent);
                let listing = dirent::listing(self.nid(id), parent, children, |child| {
                    (self.nid(child), FileType::of(self.tree.node(child)))
                });
                self.write_bytes(id, planned, &listing)
            }
            Kind::Symlink(target) => self.write_bytes(id, planned, target),
            Kind::Fifo | Kind::File { size: 0, .. } => self.write_bytes(id, planned, &[]),
            Kind::File { .. } => Ok(()),
        }
    }

    /// Writes an inode and its whole content, uncompressed.
    fn write_bytes(&mut self, id: NodeId, planned: Planned, bytes: &[u8]) -> io::Result<()> {
        let size = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        if planned.layout == Layout::Inline || bytes.is_empty() {
            let mut record = self.inode(id, planned, size, 0);
            record.extend_from_slice(bytes);
            return self.file.write_all_at(&record, planned.at);
        }
        let first = u32::try_from(self.next_block).map_err(io::Error::other)?;
        let record = self.inode(id, planned, size, first);
        self.file.write_all_at(&record, planned.at)?;
        self.file.write_all_at(bytes, self.next_block * BLOCK)?;
        self.next_block += size.div_ceil(BLOCK);
        Ok(())
    }

    fn inode(&self, id: NodeId, planned: Planned, size: u64, place: u32) -> Vec<u8> {
        let node = self.tree.node(id);
        let inode = Inode {
            layout: planned.layout,
            node,
            size,
            place,
            links: planned.links,
            number: self.nid(id),
        };
        inode.encode()
    }

    /// The number by which directories name a node.
    fn nid(&self, id: NodeId) -> u64 {
        self.plan.get(&id).map_or(0, |planned| planned.at / SLOT)
    }
}

/// Where a node goes that must not begin before `at`: its start, its end, and how its content is laid out.
fn place(at: u64, node: &Node) -> (u64, u64, Layout) {
    let head = inode::SIZE + xattr::size(&node.meta.xattrs);
    let (size, may_compress) = match &node.kind {
        Kind::Directory(children) => (dirent::size(children), false),
        Kind::Symlink(target) => (u64::try_from(target.len()).unwrap_or(u64::MAX), false),
        Kind::Fifo => (0, false),
        Kind::File { size, .. } => (*size, true),
    };
    if size == 0 {
        return (at, at + head, Layout::Plain);
    }
    if head + size <= BLOCK {
        // The kernel refuses inline content that crosses a block's border.
        let whole = head + size;
        let fits = at % BLOCK + whole <= BLOCK;
        let at = if fits { at } else { at.next_multiple_of(BLOCK) };
        return (at, at + whole, Layout::Inline);
    }
    if may_compress && size > BLOCK {
        let map = (at + head).next_multiple_of(8);
        return (at, map + pcluster::map_size(size), Layout::Compressed);
    }
    (at, at + head, Layout::Plain)
}

fn subdirectories(tree: &Tree, children: &BTreeMap<Name, Edge>) -> u32 {
    let directories = children
        .values()
        .filter(|edge| tree.node(edge.node).is_directory());
    u32::try_from(directories.count()).unwrap_or(u32::MAX)
}

/// The 128 bytes of `struct erofs_super_block` and the lz4 settings behind it.
fn superblock(root: u64, inodes: u64, blocks: u32) -> io::Result<Vec<u8>> {
    const MAGIC: u32 = 0xe0f5_e1e2;
    /// Inode times are modification times.
    const COMPAT_MTIME: u32 = 0x2;
    /// Compressed data ends at its cluster's end, zeros before it.
    const INCOMPAT_ZERO_PADDING: u32 = 0x1;
    /// Clusters of several blocks, and settings for each algorithm behind the superblock.
    const INCOMPAT_BIG_PCLUSTER: u32 = 0x2;
    const ALGORITHM_LZ4: u16 = 1 << 0;

    let root = u16::try_from(root).map_err(io::Error::other)?;
    let mut out = Fields::default();
    out.u32(MAGIC).u32(0).u32(COMPAT_MTIME);
    out.u8(BLOCK.trailing_zeros() as u8).u8(0).u16(root);
    out.u64(inodes).u64(0).u32(0).u32(blocks);
    out.u32(0).u32(0); // inodes are numbered from block 0; no shared attributes
    out.zeros(32); // UUID and volume name
    out.u32(INCOMPAT_ZERO_PADDING | INCOMPAT_BIG_PCLUSTER);
    out.u16(ALGORITHM_LZ4).zeros(42);
    out.u16(14)
        .u16(u16::MAX)
        .u16(pcluster::MOST_BLOCKS)
        .zeros(10);
    Ok(out.0)
}

/// Little-endian fields, one after the other.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn zeros(&mut self, count: usize) -> &mut Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

#[cfg(test)]
mod tests;
