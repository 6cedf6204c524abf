//! The account that programs run as.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;

use wire::message::User;

use super::error::{ConfigureError, Doing};
use crate::exec::Accounts;
use crate::files;

/// Makes sure that the user exists with these numbers. One that the template has stays as it is.
pub(super) fn ensure(root: &Path, user: &User) -> Result<(), ConfigureError> {
    let bad = |text: &&String| text.is_empty() || text.contains([':', '\n', '\0']);
    if let Some(text) = [&user.name, &user.home].into_iter().find(bad) {
        return Err(ConfigureError::BadUser(text.clone()));
    }
    match Accounts::load(&files::under(root, "/etc")).find(&user.name) {
        Ok(found) if found.uid == user.uid => Ok(()),
        Ok(found) => Err(ConfigureError::OtherUser {
            name: user.name.clone(),
            found: found.uid,
            wanted: user.uid,
        }),
        Err(_) => add(root, user).doing(format!("add the user `{}`", user.name)),
    }
}

fn add(root: &Path, user: &User) -> io::Result<()> {
    let User {
        name,
        uid,
        gid,
        home,
    } = user;
    append(
        root,
        "/etc/passwd",
        0o644,
        &format!("{name}:x:{uid}:{gid}::{home}:/bin/sh\n"),
    )?;
    append(root, "/etc/group", 0o644, &format!("{name}:x:{gid}:\n"))?;
    append(root, "/etc/shadow", 0o640, &format!("{name}:!:::::::\n"))?;
    let home = files::under(root, home);
    fs::create_dir_all(&home)?;
    chown(&home, Some(*uid), Some(*gid))
}

fn append(root: &Path, path: &str, mode: u32, line: &str) -> io::Result<()> {
    let path = files::under(root, path);
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    files::replace(&path, text + line, mode)
}
