//! Files that an agent starts with. What the template or the user has is never overwritten.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, fchown};
use std::path::{Path, PathBuf};

use wire::message::{Place, Seed, User};

use crate::files;

/// Writes one, unless it is to stay away.
pub(super) fn plant(root: &Path, seed: &Seed, user: &User) -> io::Result<()> {
    let path = match seed.path.strip_prefix("~/") {
        Some(rest) => files::under(root, &user.home).join(rest),
        None => files::under(root, &seed.path),
    };
    match seed.place {
        Place::Block => files::replace_block(&path, &seed.content, 0o644),
        Place::IfAbsent => plant_if_absent(&path, seed, user),
    }
}

/// A symbolic link counts as there, whatever it leads to.
fn plant_if_absent(path: &Path, seed: &Seed, user: &User) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        make_dirs(dir, user)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(seed.content.as_bytes())?;
    fchown(&file, Some(user.uid), Some(user.gid))
}

/// Makes the folders that are missing, as the user's own.
fn make_dirs(dir: &Path, user: &User) -> io::Result<()> {
    let missing: Vec<PathBuf> = dir
        .ancestors()
        .take_while(|dir| !dir.exists())
        .map(Path::to_owned)
        .collect();
    for dir in missing.iter().rev() {
        DirBuilder::new().mode(0o700).create(dir)?;
        chown(dir, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}
