//! The file tree of an image, held in memory: names, owners, modes and links, but not the files' content.
//!
//! Layers are merged here and nowhere else, so no path of an image is ever looked up on the host.

use std::collections::BTreeMap;

use super::path::Name;

/// The index of a node of one [`Tree`]. Hard links are several names for one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(usize);

/// Owner, mode and the like of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// Permission bits with setuid, setgid and sticky: at most 0o7777.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
    pub(super) xattrs: Vec<Xattr>,
}

/// One extended attribute, its name split as erofs stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Xattr {
    pub(super) prefix: XattrPrefix,
    /// What follows the prefix.
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Xattr {
    /// What it takes in memory and about what it takes in an image.
    pub(super) fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + 8
    }
}

/// The name prefixes that are kept. The number is erofs's (`EROFS_XATTR_INDEX_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum XattrPrefix {
    User = 1,
    AclAccess = 2,
    AclDefault = 3,
    Security = 6,
}

/// Where a file's bytes are: the `entry`th entry of the `layer`th layer, both from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Content {
    pub(super) layer: usize,
    pub(super) entry: u64,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory(BTreeMap<Name, Edge>),
    File { content: Content, size: u64 },
    Symlink(Vec<u8>),
    Fifo,
}

/// A directory's entry: the node it names, and the layer that last said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) node: NodeId,
    pub(super) layer: usize,
}

/// One file, directory, symbolic link or pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) meta: Meta,
    pub(super) kind: Kind,
}

impl Node {
    /// The node's entries, if it is a directory.
    pub(super) fn children(&self) -> Option<&BTreeMap<Name, Edge>> {
        match &self.kind {
            Kind::Directory(children) => Some(children),
            Kind::File { .. } | Kind::Symlink(_) | Kind::Fifo => None,
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.children().is_some()
    }
}

/// All nodes. Those that no name reaches any more stay until the tree is dropped.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// A tree with an empty root directory.
    pub(super) fn new() -> Self {
        let root = Node {
            meta: Meta {
                mode: 0o755,
                ..Meta::default()
            },
            kind: Kind::Directory(BTreeMap::new()),
        };
        Self { nodes: vec![root] }
    }

    pub(super) fn root(&self) -> NodeId {
        NodeId(0)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a NodeId is made by `add` alone and nodes are never removed"
    )]
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a NodeId is made by `add` alone and nodes are never removed"
    )]
    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    /// A new node that no name reaches yet.
    pub(super) fn add(&mut self, meta: Meta, kind: Kind) -> NodeId {
        self.nodes.push(Node { meta, kind });
        NodeId(self.nodes.len() - 1)
    }

    /// What `name` in directory `parent` is.
    pub(super) fn child(&self, parent: NodeId, name: &[u8]) -> Option<Edge> {
        self.node(parent).children()?.get(name).copied()
    }

    /// Names `node` in directory `parent`; what had the name before loses it.
    pub(super) fn link(&mut self, parent: NodeId, name: Name, edge: Edge) {
        if let Kind::Directory(children) = &mut self.node_mut(parent).kind {
            children.insert(name, edge);
        }
    }

    /// Takes `name` out of directory `parent`.
    pub(super) fn unlink(&mut self, parent: NodeId, name: &[u8]) {
        if let Kind::Directory(children) = &mut self.node_mut(parent).kind {
            children.remove(name);
        }
    }

    /// Every node that a name reaches, each once, parents before children.
    pub(super) fn walk(&self) -> Vec<NodeId> {
        let mut seen = vec![false; self.nodes.len()];
        let mut order = Vec::new();
        let mut queue = std::collections::VecDeque::from([self.root()]);
        while let Some(id) = queue.pop_front() {
            let Some(seen) = seen.get_mut(id.0) else {
                continue;
            };
            if std::mem::replace(seen, true) {
                continue;
            }
            order.push(id);
            if let Some(children) = self.node(id).children() {
                queue.extend(children.values().map(|edge| edge.node));
            }
        }
        order
    }
}
