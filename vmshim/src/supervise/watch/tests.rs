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
        let told = describe(&share, &changed, &Own::default(), Instant::now());
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
    let now = Instant::now();
    let told = |path, since| describe(&share, &changed(path), &own, since);
    // Of what is gone only the folder is left to be known by.
    assert!(told("gone", now).is_some());
    own.add(std::fs::metadata(dir.path()).unwrap().ino());
    let before = now.checked_sub(5 * OWN).unwrap();
    for (since, is_told) in [(now, false), (before, false), (now + 2 * OWN, true)] {
        assert_eq!(told("file", since).is_some(), is_told, "{since:?}");
        assert_eq!(told("gone", since).is_some(), is_told, "{since:?}");
    }
}
