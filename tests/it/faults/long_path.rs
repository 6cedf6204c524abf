//! A runtime directory whose path leaves no room for sockets (`unix(7)`: 107 bytes).

use std::fs;

use crate::support::Ran;

#[test]
fn a_path_too_long_for_sockets_is_told_before_a_start() {
    let home = super::home();
    let long = home.path().join("r".repeat(90));
    fs::create_dir(&long).unwrap();
    let mut start = home.command(&["exec", "s", "true"]);
    let ran = Ran::from(start.env("XDG_RUNTIME_DIR", &long).output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (125, ""), "{ran:?}");
    let says = "is too long a path for sockets\nhelp: set XDG_RUNTIME_DIR";
    assert!(ran.stderr.contains(says), "{ran:?}");
}
