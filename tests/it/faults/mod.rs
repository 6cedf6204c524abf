//! Faults of the machine around a sandbox: kills at every moment, full disks, damaged files. Nothing is booted.

mod authority;
mod catalogue;
mod damaged_policy;
mod first_run;
mod full_disk;
mod gone_folder;
mod kills;
mod long_path;
mod memory;
mod strace;
mod versions;
mod writer;

use std::fs;
use std::path::Path;

use crate::image;
use crate::support::Home;

/// A user with one stopped sandbox, `s`, of a template that costs nothing.
fn home() -> Home {
    let home = Home::new();
    image::tiny(&home.project());
    home.ok(&[
        "create",
        "--isolation",
        "container",
        "-t",
        "./tiny.tar",
        "--name",
        "s",
        "shell",
        ".",
    ]);
    home
}

/// The names in a folder, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
