use std::path::Path;

use super::*;

fn share(host: &Path) -> Share {
    Share {
        host: host.to_owned(),
        guest: "/srv".into(),
        read_only: false,
        file: false,
        hide: Vec::new(),
    }
}

#[test]
fn what_has_become_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
    let share = share(dir.path());
    let rows = [
        ("file", false, Some(Deed::Modified)),
        ("file", true, Some(Deed::Appeared(Kind::File))),
        ("folder", true, Some(Deed::Appeared(Kind::Folder))),
        ("folder", false, None),
        ("link", true, Some(Deed::Appeared(Kind::Link))),
        ("gone", true, Some(Deed::Gone)),
        ("no/way", true, None),
    ];
    for (path, is_new, deed) in rows {
        let changed = Changed {
            path: path.into(),
            is_new,
        };
        let told = describe(&share, &changed, &Own::default());
        let wanted = deed.map(|deed| Change {
            path: format!("/srv/{path}"),
            deed,
        });
        assert_eq!(told, wanted, "{path} {is_new}");
    }
}

#[test]
fn what_the_guest_did_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let share = share(dir.path());
    let own = Own::default();
    own.add(std::fs::metadata(&file).unwrap().ino());
    let changed = |path: &str| Changed {
        path: path.into(),
        is_new: false,
    };
    assert_eq!(describe(&share, &changed("file"), &own), None);
    // Of what is gone only the folder is left to be known by.
    assert!(describe(&share, &changed("gone"), &own).is_some());
    own.add(std::fs::metadata(dir.path()).unwrap().ino());
    assert_eq!(describe(&share, &changed("gone"), &own), None);
}
