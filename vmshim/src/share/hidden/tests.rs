use std::ffi::CString;

use super::*;

fn hidden(patterns: &[&str]) -> Hidden {
    let patterns: Vec<String> = patterns.iter().map(|line| (*line).to_owned()).collect();
    Hidden::new(&patterns).unwrap()
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// Looks folders up along `path` and asks about its last name.
fn hides(hidden: &Hidden, path: &str) -> bool {
    let (mut parent, mut names) = (ROOT, path.split('/').peekable());
    let mut inode = 100;
    while let Some(name) = names.next() {
        if hidden.hides(parent, &c(name)) {
            return true;
        }
        if names.peek().is_some() {
            inode += 1;
            hidden.found(inode, parent, &c(name));
            parent = inode;
        }
    }
    false
}

#[test]
fn pattern_rows() {
    let rows: [(&[&str], &[&str], &[&str]); 7] = [
        (
            &[".env"],
            &[".env", "a/b/.env", ".env/x"],
            &["env", ".env.example", ".ENV"],
        ),
        (
            &["*.pem", "!public.pem"],
            &["key.pem", "a/key.pem"],
            &["public.pem", "pem"],
        ),
        (&["/secret"], &["secret", "secret/x"], &["a/secret"]),
        (
            &["secrets/"],
            &["secrets", "secrets/x", "a/secrets"],
            &["secrets2"],
        ),
        (
            &["config/*.key"],
            &["config/a.key"],
            &["config/a.txt", "a/config/a.key", "a.key"],
        ),
        (
            &["**/config/key"],
            &["config/key", "a/b/config/key"],
            &["config/key2"],
        ),
        (
            &["", "# a comment", "ünï cödé"],
            &["ünï cödé"],
            &["# a comment", "x"],
        ),
    ];
    for (patterns, invisible, visible) in rows {
        let hidden = hidden(patterns);
        for path in invisible {
            assert!(hides(&hidden, path), "{patterns:?} does not hide {path}");
        }
        for path in visible {
            assert!(!hides(&hidden, path), "{patterns:?} hides {path}");
        }
    }
}

#[test]
fn a_folder_on_a_patterns_way_is_not_renamed() {
    let rows = [
        ("config/prod/key", "config", true),
        ("config/prod/key", "prod", false),
        ("/key", "anything", false),
        ("key", "anything", false),
        ("build-*/key", "build-7", true),
        ("**/config/key", "config", true),
        ("**/config/key", "other", false),
        ("**/key", "anything", false),
        ("a/**/key", "a", true),
    ];
    for (pattern, name, pinned) in rows {
        let hidden = hidden(&[pattern]);
        assert_eq!(hidden.pins(ROOT, &c(name)), pinned, "{pattern}: {name}");
    }
    let hidden = hidden(&["config/prod/key", "**/config/key"]);
    hidden.found(7, ROOT, c"config");
    hidden.found(8, ROOT, c"other");
    assert!(hidden.pins(7, c"prod") && !hidden.pins(7, c"test"));
    assert!(hidden.pins(8, c"config") && !hidden.pins(8, c"prod"));
}

#[test]
fn a_folder_is_known_as_long_as_the_guest_holds_it() {
    let hidden = hidden(&["a/key"]);
    assert!(
        hidden.hides(7, c"anything"),
        "a folder that nobody looked up"
    );
    hidden.found(7, ROOT, c"a");
    hidden.found(7, ROOT, c"a");
    assert!(hidden.hides(7, c"key") && !hidden.hides(7, c"other"));
    hidden.forgotten(7, 1);
    assert!(!hidden.hides(7, c"other"));
    hidden.found(7, ROOT, c"b"); // renamed on the host, and looked up again
    assert!(!hidden.hides(7, c"key"));
    hidden.forgotten(7, 5);
    assert!(hidden.hides(7, c"other"));
    assert!(hidden.folders().is_empty());
    // A hostile kernel can't send us in circles.
    hidden.found(8, 9, c"x");
    hidden.found(9, 8, c"y");
    assert!(hidden.hides(8, c"other"));
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let error = Hidden::new(&["{a".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("{a"), "{error}");
}
