use super::super::erofs::Image;
use super::super::tree::Node;
use super::*;
use crate::image::oci::refusal::Refusal;
use tar::EntryType;

/// One entry of a test's layer: type, path, target.
type Row<'a> = (EntryType, &'a str, &'a str);

const FILE: EntryType = EntryType::Regular;
const DIR: EntryType = EntryType::Directory;
const SYM: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

/// Writes names as they come; the tar crate's own builder would refuse the bad ones.
fn layer(rows: &[Row<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, (kind, path, target)) in rows.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_uid(number as u64);
        header.set_gid(0);
        header.set_mtime(0);
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_size(0);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
    }
    out.extend_from_slice(&[0; 1024]);
    out
}

fn merged(layers: &[&[Row<'_>]]) -> Result<Tree, String> {
    let mut merge = Merge::new(Budget::default());
    for rows in layers {
        merge.apply(&mut layer(rows).as_slice()).map_err(reason)?;
    }
    Ok(merge.into_tree())
}

fn reason(error: entry::Error) -> String {
    match error {
        entry::Error::Refused { path, why } => format!("{path}: {why:?}"),
        entry::Error::Read(error) => error.to_string(),
    }
}

/// Every name of the tree: `dir/`, `file`, `link>target`.
fn list(tree: &Tree) -> String {
    fn walk(tree: &Tree, id: NodeId, path: &str, out: &mut Vec<String>) {
        for (name, edge) in tree.node(id).children().into_iter().flatten() {
            let path = format!("{path}{}", String::from_utf8_lossy(name.as_bytes()));
            match &tree.node(edge.node).kind {
                Kind::Directory(_) => {
                    out.push(format!("{path}/"));
                    walk(tree, edge.node, &format!("{path}/"), out);
                }
                Kind::Symlink(target) => {
                    out.push(format!("{path}>{}", String::from_utf8_lossy(target)));
                }
                Kind::File { content, .. } => out.push(format!("{path}={}", content.layer)),
                Kind::Fifo => out.push(format!("{path}|")),
            }
        }
    }
    let mut out = Vec::new();
    walk(tree, tree.root(), "", &mut out);
    out.join(" ")
}

#[test]
fn layers_and_whiteouts() {
    let base: &[Row<'_>] = &[
        (DIR, "a/", ""),
        (FILE, "a/one", ""),
        (FILE, "a/two", ""),
        (DIR, "a/sub/", ""),
        (FILE, "a/sub/x", ""),
        (SYM, "lib", "a/sub"),
        (SYM, "abs", "/a/sub"),
    ];
    let rest = "abs>/a/sub lib>a/sub";
    let rows: [(&str, &[Row<'_>], String); 18] = [
        (
            "nothing",
            &[],
            format!("a/ a/one=0 a/sub/ a/sub/x=0 a/two=0 {rest}"),
        ),
        (
            "a file again",
            &[(FILE, "a/one", "")],
            format!("a/ a/one=1 a/sub/ a/sub/x=0 a/two=0 {rest}"),
        ),
        (
            "a directory again keeps its children",
            &[(DIR, "a", "")],
            format!("a/ a/one=0 a/sub/ a/sub/x=0 a/two=0 {rest}"),
        ),
        (
            "a file over a directory",
            &[(FILE, "a/sub", "")],
            format!("a/ a/one=0 a/sub=1 a/two=0 {rest}"),
        ),
        (
            "a directory over a file",
            &[(DIR, "a/one", "")],
            format!("a/ a/one/ a/sub/ a/sub/x=0 a/two=0 {rest}"),
        ),
        (
            "a directory over a link",
            &[(DIR, "lib", "")],
            "a/ a/one=0 a/sub/ a/sub/x=0 a/two=0 abs>/a/sub lib/".to_owned(),
        ),
        (
            "whiteout of a file",
            &[(FILE, "a/.wh.one", "")],
            format!("a/ a/sub/ a/sub/x=0 a/two=0 {rest}"),
        ),
        (
            "whiteout of a directory",
            &[(FILE, ".wh.a", "")],
            rest.to_owned(),
        ),
        (
            "whiteout of nothing",
            &[(FILE, "q/.wh.z", ""), (FILE, "a/.wh.z", "")],
            format!("a/ a/one=0 a/sub/ a/sub/x=0 a/two=0 {rest}"),
        ),
        (
            "whiteout of a link leaves its target",
            &[(FILE, ".wh.lib", "")],
            "a/ a/one=0 a/sub/ a/sub/x=0 a/two=0 abs>/a/sub".to_owned(),
        ),
        (
            "whiteout before the same name",
            &[(FILE, "a/.wh.one", ""), (FILE, "a/one", "")],
            format!("a/ a/one=1 a/sub/ a/sub/x=0 a/two=0 {rest}"),
        ),
        (
            "whiteout after the same name",
            &[(FILE, "a/one", ""), (FILE, "a/.wh.one", "")],
            format!("a/ a/one=1 a/sub/ a/sub/x=0 a/two=0 {rest}"),
        ),
        (
            "whiteout after a file in the directory",
            &[(FILE, "a/sub/new", ""), (FILE, ".wh.a", "")],
            format!("a/ a/sub/ a/sub/new=1 {rest}"),
        ),
        (
            "opaque",
            &[(FILE, "a/.wh..wh..opq", "")],
            format!("a/ {rest}"),
        ),
        (
            "opaque before and after",
            &[
                (FILE, "a/n", ""),
                (FILE, "a/.wh..wh..opq", ""),
                (FILE, "a/sub/m", ""),
            ],
            format!("a/ a/n=1 a/sub/ a/sub/m=1 {rest}"),
        ),
        (
            "aufs bookkeeping",
            &[(FILE, ".wh..wh.plnk", "")],
            format!("a/ a/one=0 a/sub/ a/sub/x=0 a/two=0 {rest}"),
        ),
        (
            "through links",
            &[
                (FILE, "lib/y", ""),
                (FILE, "abs/z", ""),
                (FILE, "lib/.wh.x", ""),
            ],
            format!("a/ a/one=0 a/sub/ a/sub/y=1 a/sub/z=1 a/two=0 {rest}"),
        ),
        (
            "parents nobody described",
            &[(FILE, "n/e/w", "")],
            format!("a/ a/one=0 a/sub/ a/sub/x=0 a/two=0 {rest} n/ n/e/ n/e/w=1"),
        ),
    ];
    for (name, upper, wanted) in rows {
        assert_eq!(list(&merged(&[base, upper]).unwrap()), wanted, "{name}");
    }
}

#[test]
fn hard_links_share_a_node_and_outlive_its_first_name() {
    let base: &[Row<'_>] = &[(FILE, "a", ""), (HARD, "b", "./a")];
    let upper: &[Row<'_>] = &[(HARD, "d/c", "b"), (FILE, ".wh.a", "")];
    let tree = merged(&[base, upper]).unwrap();
    assert_eq!(list(&tree), "b=0 d/ d/c=0");
    let root = tree.root();
    let directory = tree.child(root, b"d").unwrap().node;
    let (b, c) = (
        tree.child(root, b"b").unwrap(),
        tree.child(directory, b"c").unwrap(),
    );
    assert_eq!(b.node, c.node);
}

#[test]
fn the_root_and_directories_take_the_latest_meta() {
    let base: &[Row<'_>] = &[(FILE, "x", ""), (DIR, "./", ""), (DIR, "d", "")];
    let upper: &[Row<'_>] = &[
        (FILE, "y", ""),
        (FILE, "z", ""),
        (FILE, "w", ""),
        (DIR, "d", ""),
    ];
    let tree = merged(&[base, upper]).unwrap();
    let uid = |node: &Node| node.meta.uid;
    assert_eq!(uid(tree.node(tree.root())), 1);
    let directory = tree.child(tree.root(), b"d").unwrap().node;
    assert_eq!(uid(tree.node(directory)), 3);
}

#[test]
fn hostile_entries_are_refused() {
    let long = "a/".repeat(49) + "b";
    let rows: [(&[Row<'_>], &str); 22] = [
        (&[(FILE, "/etc/passwd", "")], "/etc/passwd: Absolute"),
        (&[(FILE, "../x", "")], "../x: Climbs"),
        (&[(FILE, "a/../../x", "")], "a/../../x: Climbs"),
        (&[(DIR, "..", "")], "..: Climbs"),
        (&[(SYM, "l", "../../etc"), (FILE, "l/x", "")], "l/x: Climbs"),
        (
            &[(SYM, "l", ".."), (FILE, "l/.wh.x", "")],
            "l/.wh.x: Climbs",
        ),
        (&[(SYM, "l", "l"), (FILE, "l/x", "")], "l/x: Loop"),
        (
            &[(SYM, "l", "m"), (SYM, "m", "/l"), (FILE, "l/x", "")],
            "l/x: Loop",
        ),
        (&[(FILE, "f", ""), (FILE, "f/x", "")], "f/x: NotADirectory"),
        (&[(EntryType::Char, "null", "")], "null: Device"),
        (&[(EntryType::Block, "d/sda", "")], "d/sda: Device"),
        (
            &[(EntryType::Char, "lib/dev/null", "")],
            "lib/dev/null: Device",
        ),
        (&[(EntryType::GNUSparse, "s", "")], "s: Sparse"),
        (&[(EntryType::new(b'Z'), "z", "")], "z: Type"),
        (&[(HARD, "h", "/etc/shadow")], "h: Absolute"),
        (&[(HARD, "h", "../x")], "h: Climbs"),
        (&[(HARD, "h", "missing")], "h: HardLink"),
        (&[(DIR, "d", ""), (HARD, "h", "d")], "h: HardLink"),
        (&[(SYM, "s", "")], "s: Symlink"),
        (&[(FILE, ".wh...", "")], ".wh...: Whiteout"),
        (&[(FILE, ".wh.", "")], ".wh.: Whiteout"),
        (&[(FILE, "./", "")], "./: Root"),
    ];
    for (entries, wanted) in rows {
        assert_eq!(merged(&[entries]).unwrap_err(), wanted);
    }
    // The control: the same builder makes layers that are taken.
    assert!(merged(&[&[(FILE, &long, ""), (SYM, "l", "../../etc")]]).is_ok());
}

#[test]
fn links_lead_around_in_the_tree_only() {
    let rows: &[Row<'_>] = &[(SYM, "l", "/etc"), (FILE, "l/passwd", "")];
    assert_eq!(list(&merged(&[rows]).unwrap()), "etc/ etc/passwd=0 l>/etc");
}

#[test]
fn devices_below_dev_are_left_out() {
    let rows: &[Row<'_>] = &[
        (DIR, "dev", ""),
        (EntryType::Char, "dev/null", ""),
        (EntryType::Fifo, "p", ""),
    ];
    assert_eq!(list(&merged(&[rows]).unwrap()), "dev/ p|");
}

#[test]
fn links_do_not_nest_directories_without_end() {
    let deep = "a/".repeat(45);
    let mut rows = vec![(DIR, deep.as_str(), "")];
    let links: Vec<_> = (0..60)
        .map(|at| match at {
            0 => ("l0".to_owned(), deep.clone()),
            _ => (format!("l{at}"), format!("l{}/{deep}", at - 1)),
        })
        .collect();
    let paths: Vec<_> = links.iter().map(|(name, _)| format!("{name}/x/")).collect();
    for ((name, target), path) in links.iter().zip(&paths) {
        rows.extend([
            (SYM, name.as_str(), target.as_str()),
            (DIR, path.as_str(), ""),
        ]);
    }
    let error = merged(&[&rows]).unwrap_err();
    assert!(
        error.ends_with(": Loop") || error.ends_with(": TooLong"),
        "{error}"
    );
}

#[test]
fn a_budget_ends() {
    let ample = Budget {
        entries: 10,
        bytes: 10,
        metadata: 1_000,
    };
    let layer = layer(&[(FILE, "a", ""), (FILE, "b", ""), (FILE, ".wh..wh..opq", "")]);
    let rows = [
        (ample, true),
        (
            Budget {
                entries: 4,
                ..ample
            },
            false,
        ),
        (
            Budget {
                metadata: 100,
                ..ample
            },
            false,
        ),
    ];
    for (budget, enough) in rows {
        let result = Merge::new(budget).apply(&mut layer.as_slice());
        assert_eq!(result.is_ok(), enough, "{budget:?}");
        if let Err(error) = result {
            assert!(reason(error).ends_with(&format!("{:?}", Refusal::Budget)));
        }
    }
}

/// Bytes of a good layer's headers are changed at random, checksums kept right.
#[test]
fn no_header_upsets_the_merge_or_the_image() {
    let good = layer(&[
        (DIR, "a/", ""),
        (FILE, "a/one", ""),
        (SYM, "l", "a"),
        (FILE, "l/two", ""),
        (HARD, "h", "a/one"),
        (FILE, "a/.wh..wh..opq", ""),
        (EntryType::XHeader, "x", ""),
        (EntryType::Fifo, "p", ""),
    ]);
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below
    };
    let interesting = [0, b'/', b'.', b'1', b'7', b'x', b'L', 0x80, 0xff];
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..4_000 {
        let mut bytes = good.clone();
        let start = random(8) * 512;
        for _ in 0..=random(3) {
            // Names, numbers and type are before, the target behind; padding would change nothing.
            let at = [random(100), 100 + random(56), 156, 157 + random(100)][random(4)];
            bytes[start + at] = interesting[random(interesting.len())];
        }
        let mut header = tar::Header::new_old();
        header
            .as_mut_bytes()
            .copy_from_slice(&bytes[start..start + 512]);
        header.set_cksum();
        bytes[start..start + 512].copy_from_slice(header.as_bytes());
        let mut merge = Merge::new(Budget::default());
        match merge.apply(&mut bytes.as_slice()) {
            Err(_) => refused += 1,
            Ok(()) => {
                let tree = merge.into_tree();
                let file = tempfile::tempfile().unwrap();
                Image::begin(&file, &tree).unwrap();
                taken += 1;
            }
        }
    }
    assert!(
        taken > 500 && refused > 500,
        "{taken} taken, {refused} refused"
    );
}
