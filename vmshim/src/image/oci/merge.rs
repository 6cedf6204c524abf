//! Applies layers to a tree, lowest first, as the OCI image specification says ("Applying changesets").

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;

use super::Refusal;
use super::entry::{self, Change, Failure, What};
use super::path::Name;
use super::tree::{Content, Edge, Kind, Meta, NodeId, Tree};

/// Symbolic links that one path may go through: the kernel's `MAXSYMLINKS`.
const MOST_HOPS: u32 = 40;

/// Directories in each other: more than the longest path could name in one go.
const DEEPEST: usize = 2048;

/// What an image may take in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Entries of all layers.
    pub(super) entries: u64,
    /// Bytes of all files of all layers.
    pub(super) bytes: u64,
    /// Bytes of all paths, link targets and attributes: they are held in memory.
    pub(super) metadata: u64,
}

impl Default for Budget {
    /// Ten times what the largest images in use have.
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            bytes: 64 << 30,
            metadata: 1 << 30,
        }
    }
}

/// A tree that layers are being applied to.
pub(super) struct Merge {
    tree: Tree,
    left: Budget,
    /// The number of the layer being applied.
    layer: usize,
}

impl Merge {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            tree: Tree::new(),
            left: budget,
            layer: 0,
        }
    }

    /// Applies the next layer, a tar stream.
    pub(super) fn apply(&mut self, layer: &mut dyn Read) -> Result<(), entry::Error> {
        entry::each(layer, |number, change, _| {
            self.spend(&change)?;
            self.change(number, change).map_err(Failure::from)
        })?;
        self.layer += 1;
        Ok(())
    }

    pub(super) fn into_tree(self) -> Tree {
        self.tree
    }

    fn spend(&mut self, change: &Change) -> Result<(), Refusal> {
        let (bytes, metadata) = match change {
            Change::Put { path, meta, what } => {
                let bytes = match what {
                    What::File { size } => *size,
                    _ => 0,
                };
                let target = match what {
                    What::Symlink(target) => target.len(),
                    _ => 0,
                };
                let xattrs: usize = meta.xattrs.iter().map(|xattr| xattr.bytes()).sum();
                (bytes, length(path) + target + xattrs)
            }
            Change::Whiteout { path } | Change::Opaque { path } => (0, length(path)),
        };
        let metadata = u64::try_from(metadata).map_err(|_| Refusal::Budget)?;
        spend(&mut self.left.entries, 1)?;
        spend(&mut self.left.bytes, bytes)?;
        spend(&mut self.left.metadata, metadata)
    }

    fn change(&mut self, number: u64, change: Change) -> Result<(), Refusal> {
        match change {
            Change::Put { path, meta, what } => self.put(number, &path, meta, what),
            Change::Whiteout { path } => {
                let Some((name, parents)) = path.split_last() else {
                    return Err(Refusal::Whiteout);
                };
                if let Some(parent) = self.descend(parents, Missing::Stop)? {
                    self.hide(parent, name)?;
                }
                Ok(())
            }
            Change::Opaque { path } => {
                if let Some(directory) = self.descend(&path, Missing::Stop)? {
                    self.hide_children(directory)?;
                }
                Ok(())
            }
        }
    }

    fn put(&mut self, number: u64, path: &[Name], meta: Meta, what: What) -> Result<(), Refusal> {
        let Some((name, parents)) = path.split_last() else {
            let root = self.tree.root();
            self.tree.node_mut(root).meta = meta;
            return Ok(());
        };
        let parent = self.must_descend(parents)?;
        let node = match what {
            What::Directory => self.directory(parent, name, meta),
            What::HardLink(target) => self.find_file(&target)?,
            What::Symlink(target) => self.tree.add(meta, Kind::Symlink(target)),
            What::Fifo => self.tree.add(meta, Kind::Fifo),
            What::File { size } => {
                let content = Content {
                    layer: self.layer,
                    entry: number,
                };
                self.tree.add(meta, Kind::File { content, size })
            }
        };
        let layer = self.layer;
        self.tree.link(parent, name.clone(), Edge { node, layer });
        Ok(())
    }

    /// A directory that is there already keeps its children.
    fn directory(&mut self, parent: NodeId, name: &Name, meta: Meta) -> NodeId {
        match self.tree.child(parent, name.as_bytes()) {
            Some(edge) if self.tree.node(edge.node).is_directory() => {
                self.tree.node_mut(edge.node).meta = meta;
                edge.node
            }
            _ => self.tree.add(meta, Kind::Directory(BTreeMap::new())),
        }
    }

    fn find_file(&mut self, path: &[Name]) -> Result<NodeId, Refusal> {
        let (name, parents) = path.split_last().ok_or(Refusal::HardLink)?;
        let parent = self.descend(parents, Missing::Stop)?;
        let edge = parent.and_then(|parent| self.tree.child(parent, name.as_bytes()));
        edge.map(|edge| edge.node)
            .filter(|node| !self.tree.node(*node).is_directory())
            .ok_or(Refusal::HardLink)
    }

    fn must_descend(&mut self, names: &[Name]) -> Result<NodeId, Refusal> {
        self.descend(names, Missing::Make)?
            .ok_or(Refusal::NotADirectory)
    }

    /// Finds the directory at `names`, going through symbolic links as a process in the image would.
    ///
    /// Links lead around in the tree only; one that climbs above the root is refused rather than clamped.
    fn descend(&mut self, names: &[Name], missing: Missing) -> Result<Option<NodeId>, Refusal> {
        let mut above = Vec::new();
        let mut here = self.tree.root();
        let mut hops = 0;
        let mut steps: VecDeque<Step> = names.iter().cloned().map(Step::Down).collect();
        while let Some(step) = steps.pop_front() {
            if above.len() > DEEPEST {
                return Err(Refusal::TooLong);
            }
            let name = match step {
                Step::Up => {
                    here = above.pop().ok_or(Refusal::Climbs)?;
                    continue;
                }
                Step::Down(name) => name,
            };
            let Some(edge) = self.tree.child(here, name.as_bytes()) else {
                match missing {
                    Missing::Stop => return Ok(None),
                    Missing::Make => {
                        above.push(here);
                        here = self.make_directory(here, name);
                        continue;
                    }
                }
            };
            match &self.tree.node(edge.node).kind {
                Kind::Directory(_) => {
                    above.push(here);
                    here = edge.node;
                }
                Kind::Symlink(target) => {
                    hops += 1;
                    if hops > MOST_HOPS {
                        return Err(Refusal::Loop);
                    }
                    if target.starts_with(b"/") {
                        here = self.tree.root();
                        above.clear();
                    }
                    for step in link_steps(target)?.into_iter().rev() {
                        steps.push_front(step);
                    }
                }
                Kind::File { .. } | Kind::Fifo => return Err(Refusal::NotADirectory),
            }
        }
        Ok(Some(here))
    }

    /// A parent that no entry describes.
    fn make_directory(&mut self, parent: NodeId, name: Name) -> NodeId {
        let meta = Meta {
            mode: 0o755,
            ..Meta::default()
        };
        let node = self.tree.add(meta, Kind::Directory(BTreeMap::new()));
        let layer = self.layer;
        self.tree.link(parent, name, Edge { node, layer });
        node
    }

    /// Removes `name` as far as lower layers put it there; a whiteout never hides its own layer's entries.
    fn hide(&mut self, parent: NodeId, name: &Name) -> Result<(), Refusal> {
        let Some(edge) = self.tree.child(parent, name.as_bytes()) else {
            return Ok(());
        };
        let children = self.hide_children(edge.node)?;
        if edge.layer != self.layer && children == 0 {
            self.tree.unlink(parent, name.as_bytes());
        }
        Ok(())
    }

    /// Removes what lower layers put into `directory`, and says how many entries remain.
    ///
    /// Each entry looked at is paid for, so that many whiteouts of a large directory come to an end.
    fn hide_children(&mut self, directory: NodeId) -> Result<usize, Refusal> {
        let names: Vec<Name> = match self.tree.node(directory).children() {
            Some(children) => children.keys().cloned().collect(),
            None => return Ok(0),
        };
        for name in names {
            spend(&mut self.left.entries, 1)?;
            self.hide(directory, &name)?;
        }
        let left = self.tree.node(directory).children();
        Ok(left.map_or(0, BTreeMap::len))
    }
}

fn spend(left: &mut u64, amount: u64) -> Result<(), Refusal> {
    *left = left.checked_sub(amount).ok_or(Refusal::Budget)?;
    Ok(())
}

/// What to do about a directory that is not there.
#[derive(Clone, Copy)]
enum Missing {
    Make,
    Stop,
}

/// One step of a walk.
enum Step {
    Down(Name),
    Up,
}

fn link_steps(target: &[u8]) -> Result<Vec<Step>, Refusal> {
    target
        .split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .map(|part| match part {
            b".." => Ok(Step::Up),
            _ => Name::new(part).map(Step::Down),
        })
        .collect()
}

fn length(path: &[Name]) -> usize {
    path.iter().map(|name| name.as_bytes().len() + 64).sum()
}

#[cfg(test)]
mod tests;
