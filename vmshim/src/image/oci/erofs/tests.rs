use super::super::tree::{Content, Meta, Xattr, XattrPrefix};
use super::*;
use crate::tool::Tool;
use std::path::Path;

const FSCK: Tool = Tool {
    program: "fsck.erofs",
    package: "erofs-utils",
};

/// Bytes that shrink, do not shrink, or both by turns.
fn content(kind: usize, size: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size)
        .map(|at| match kind {
            0 => b"all work and no play "[at % 21],
            1 => noise(),
            _ if at / 50_000 % 2 == 0 => noise(),
            _ => (at / 700) as u8,
        })
        .collect()
}

struct Fixture {
    tree: Tree,
    contents: Vec<(NodeId, Vec<u8>)>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            tree: Tree::new(),
            contents: Vec::new(),
        }
    }

    fn add(&mut self, parent: NodeId, name: &str, meta: Meta, kind: Kind) -> NodeId {
        let node = self.tree.add(meta, kind);
        self.link(parent, name, node);
        node
    }

    fn link(&mut self, parent: NodeId, name: &str, node: NodeId) {
        let edge = Edge { node, layer: 0 };
        self.tree
            .link(parent, Name::new(name.as_bytes()).unwrap(), edge);
    }

    fn file(&mut self, parent: NodeId, name: &str, meta: Meta, bytes: Vec<u8>) -> NodeId {
        let entry = self.contents.len() as u64;
        let kind = Kind::File {
            content: Content { layer: 0, entry },
            size: bytes.len() as u64,
        };
        let node = self.add(parent, name, meta, kind);
        self.contents.push((node, bytes));
        node
    }

    fn directory(&mut self, parent: NodeId, name: &str) -> NodeId {
        let kind = Kind::Directory(BTreeMap::new());
        self.add(parent, name, meta(0o755, 0, 0), kind)
    }

    /// Content is written last file first: order must not matter.
    fn write(&self, path: &Path) {
        let file = File::create(path).unwrap();
        let mut image = Image::begin(&file, &self.tree).unwrap();
        for (node, bytes) in self.contents.iter().rev() {
            image.write_file(*node, &mut bytes.as_slice()).unwrap();
        }
        image.finish().unwrap();
    }
}

fn meta(mode: u16, uid: u32, gid: u32) -> Meta {
    Meta {
        mode,
        uid,
        gid,
        mtime: 1_700_000_000,
        xattrs: Vec::new(),
    }
}

/// One of everything the format has a case for.
fn fixture() -> Fixture {
    let mut all = Fixture::new();
    let root = all.tree.root();
    let files = all.directory(root, "files");
    let sizes = [
        0, 1, 100, 3_900, 4_032, 4_033, 4_095, 4_096, 4_097, 8_192, 32_767, 32_768, 32_769, 36_869,
        40_000, 70_000, 300_001,
    ];
    for size in sizes {
        for kind in 0..3 {
            let name = format!("{kind}-{size}");
            all.file(
                files,
                &name,
                meta(0o644, 1000, 100_000),
                content(kind, size),
            );
        }
    }
    let many = all.directory(root, "many");
    for number in 0..700 {
        all.file(
            many,
            &format!("+{number:0>60}"),
            meta(0o600, 0, 0),
            vec![b'x'],
        );
    }
    all.directory(root, "empty");
    let mut odd = meta(0o6755, 7, 70_000);
    odd.xattrs = vec![
        Xattr {
            prefix: XattrPrefix::Security,
            name: b"capability".to_vec(),
            value:
                b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
                    .to_vec(),
        },
        Xattr {
            prefix: XattrPrefix::User,
            name: b"note".to_vec(),
            value: b"odd".to_vec(),
        },
    ];
    let odd = all.file(root, "odd", odd, content(2, 100_000));
    all.link(files, "same", odd);
    all.add(root, "fifo", meta(0o622, 0, 0), Kind::Fifo);
    all.add(
        root,
        "short",
        meta(0o777, 5, 6),
        Kind::Symlink(b"files/0-1".to_vec()),
    );
    let far = Kind::Symlink(b"a/".repeat(2_040));
    all.add(root, "far", meta(0o777, 0, 0), far);
    all
}

#[test]
fn fsck_accepts_the_image_and_extracts_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("root.erofs");
    let fixture = fixture();
    fixture.write(&image);
    let out = dir.path().join("out");
    let mut command = FSCK.command();
    command
        .arg(format!("--extract={}", out.display()))
        .arg(&image);
    FSCK.output(&mut command).unwrap();
    for (node, bytes) in &fixture.contents {
        let path = path_of(&fixture.tree, *node);
        let found = std::fs::read(out.join(&path)).unwrap();
        assert!(found == *bytes, "{path} differs");
    }
    assert_eq!(std::fs::read_dir(out.join("many")).unwrap().count(), 700);
    assert_eq!(
        std::fs::read_link(out.join("short")).unwrap(),
        Path::new("files/0-1")
    );
}

fn path_of(tree: &Tree, wanted: NodeId) -> String {
    let mut stack = vec![(tree.root(), String::new())];
    while let Some((id, path)) = stack.pop() {
        for (name, edge) in tree.node(id).children().into_iter().flatten() {
            let path = format!("{path}{}", String::from_utf8_lossy(name.as_bytes()));
            if edge.node == wanted {
                return path;
            }
            stack.push((edge.node, format!("{path}/")));
        }
    }
    panic!("{wanted:?} has no name");
}

#[test]
fn compressible_content_takes_less_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = Vec::new();
    for kind in [0, 1] {
        let mut fixture = Fixture::new();
        let root = fixture.tree.root();
        fixture.file(root, "file", meta(0o644, 0, 0), content(kind, 1 << 20));
        let path = dir.path().join(kind.to_string());
        fixture.write(&path);
        rows.push(std::fs::metadata(path).unwrap().len());
    }
    assert!(rows[0] < 200 << 10 && rows[1] >= 1 << 20, "{rows:?}");
}
