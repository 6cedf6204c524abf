//! Which files of a template lend their owner's identity.
//!
//! `fsck.erofs` (1.5, Debian 12) unpacks everything but the set-user-ID and set-group-ID bits, and no
//! sandbox is of use without `sudo`. So they are read from the image here, and given back afterwards.
//! The layout is that of the kernel's `Documentation/filesystems/erofs.rst`; images are our own, so
//! whatever is odd about one only ends the search.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK: u64 = 4096;
const SUPER_BLOCK: u64 = 1024;
/// Bytes that a node number counts.
const SLOT: u64 = 32;
const SET_ID: u16 = 0o6000;
/// Directories within directories that are looked into.
const DEEPEST: usize = 64;
/// A directory's size that is believed, in bytes.
const LARGEST: u64 = 64 << 20;

/// `erofs` as a data layout: contiguous blocks, or these with the tail behind the inode.
const PLAIN: u16 = 0;
const INLINE: u16 = 2;

/// Every such file, relative to the root, with its permission bits.
pub(super) fn find(image: &Path) -> io::Result<Vec<(PathBuf, u32)>> {
    let image = Image::open(image)?;
    let mut found = Vec::new();
    let mut folders = vec![(image.root, PathBuf::new(), 0)];
    while let Some((node, path, depth)) = folders.pop() {
        for (name, child) in image.entries(node)? {
            let path = path.join(name);
            let inode = image.inode(child)?;
            match u32::from(inode.mode) & libc::S_IFMT {
                libc::S_IFDIR if depth < DEEPEST => folders.push((child, path, depth + 1)),
                libc::S_IFREG if inode.mode & SET_ID != 0 => {
                    found.push((path, u32::from(inode.mode) & 0o7777));
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

struct Image {
    file: File,
    /// Where node 0 would be, in bytes.
    nodes: u64,
    root: u64,
}

struct Inode {
    mode: u16,
    layout: u16,
    size: u64,
    /// The first block of the content.
    block: u64,
    /// Where what follows the inode begins, in bytes.
    behind: u64,
}

impl Image {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let root = number(&file, SUPER_BLOCK + 14, 2)?;
        let nodes = number(&file, SUPER_BLOCK + 40, 4)? * BLOCK;
        Ok(Self { file, nodes, root })
    }

    fn inode(&self, node: u64) -> io::Result<Inode> {
        let at = self.nodes.saturating_add(node.saturating_mul(SLOT));
        let number = |offset, bytes| number(&self.file, at + offset, bytes);
        let format = small(number(0, 2)?);
        let extended = format & 1 == 1;
        let (own, size) = if extended {
            (64, number(8, 8)?)
        } else {
            (32, number(8, 4)?)
        };
        let attributes = match number(2, 2)? {
            0 => 0,
            count => 12 + (count - 1) * 4,
        };
        Ok(Inode {
            mode: small(number(4, 2)?),
            layout: format >> 1 & 7,
            size,
            block: number(16, 4)?,
            behind: at + own + attributes,
        })
    }

    /// Names and nodes of a folder, without the folder itself and its parent.
    fn entries(&self, node: u64) -> io::Result<Vec<(PathBuf, u64)>> {
        let content = self.content(&self.inode(node)?)?;
        let mut entries = Vec::new();
        for block in content.chunks(4096) {
            entries.extend(in_block(block).ok_or(io::ErrorKind::InvalidData)?);
        }
        entries.retain(|(name, _)| name != Path::new(".") && name != Path::new(".."));
        Ok(entries)
    }

    fn content(&self, inode: &Inode) -> io::Result<Vec<u8>> {
        let size = usize::try_from(inode.size.min(LARGEST)).unwrap_or_default();
        let mut content = vec![0; size];
        let tail = match inode.layout {
            PLAIN => 0,
            INLINE => size % 4096,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let (blocks, last) = content.split_at_mut(size - tail);
        self.file.read_exact_at(blocks, inode.block * BLOCK)?;
        self.file.read_exact_at(last, inode.behind)?;
        Ok(content)
    }
}

/// The entries of one block: fixed parts first, the names behind them.
fn in_block(block: &[u8]) -> Option<Vec<(PathBuf, u64)>> {
    let offset = |entry: usize| Some(usize::from(u16::from_le_bytes(at(block, entry * 12 + 8)?)));
    let count = offset(0)? / 12;
    let entry = |n: usize| {
        let end = if n + 1 < count {
            offset(n + 1)?
        } else {
            block.len()
        };
        let name = block.get(offset(n)?..end)?;
        let name = name.split(|byte| *byte == 0).next()?;
        let node = u64::from_le_bytes(at(block, n * 12)?);
        Some((PathBuf::from(OsStr::from_bytes(name)), node))
    };
    (0..count).map(entry).collect()
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk::<N>().copied()
}

/// A little-endian number of at most eight bytes.
fn number(file: &File, offset: u64, bytes: usize) -> io::Result<u64> {
    let mut number = [0; 8];
    if let Some(bytes) = number.get_mut(..bytes) {
        file.read_exact_at(bytes, offset)?;
    }
    Ok(u64::from_le_bytes(number))
}

fn small(number: u64) -> u16 {
    u16::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    #[test]
    fn set_id_files_of_an_image_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        let files = [
            ("usr/bin/sudo", 0o4755),
            ("usr/bin/wall", 0o2755),
            ("usr/bin/true", 0o755),
            ("top", 0o6711),
        ];
        for n in 0..300 {
            fs::write(tree.join(format!("usr/bin/some-program-{n}")), "x").unwrap();
        }
        for (file, mode) in files {
            fs::write(tree.join(file), "program").unwrap();
            fs::set_permissions(tree.join(file), Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(tree.join("usr"), Permissions::from_mode(0o2755)).unwrap();
        let image = dir.path().join("image");
        let mut mkfs = Command::new("mkfs.erofs");
        let made = mkfs
            .args(["--quiet", "-zlz4"])
            .arg(&image)
            .arg(&tree)
            .status();
        assert!(made.unwrap().success());
        let mut found = find(&image).unwrap();
        found.sort();
        let wanted = [
            ("top", 0o6711),
            ("usr/bin/sudo", 0o4755),
            ("usr/bin/wall", 0o2755),
        ];
        assert_eq!(found, wanted.map(|(path, mode)| (path.into(), mode)));
    }

    #[test]
    fn what_is_no_image_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        for content in [vec![], vec![0xff; 8192]] {
            fs::write(&path, content).unwrap();
            assert!(find(&path).is_err());
        }
    }
}
