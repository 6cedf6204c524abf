//! Sandboxes on their way out: gone as a whole first, then bit by bit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use vmshim::container;
use vmshim::spec::Caller;

use super::files::{DRAFT, writing};
use crate::report::Failure;

/// Removes the stopped sandbox in `dir`. A removal cut short leaves a draft, and no half of a sandbox.
pub(crate) fn remove(dir: &Path) -> Result<(), Failure> {
    let cannot = |error| Failure::doing(format!("cannot remove `{}`", dir.display()), &error);
    let parent = dir.parent().unwrap_or(Path::new("."));
    let _writing = writing(parent).map_err(cannot)?;
    let doomed = tempfile::Builder::new()
        .prefix(DRAFT)
        .tempdir_in(parent)
        .map_err(cannot)?;
    fs::rename(dir, sandbox(doomed.path())).map_err(cannot)?;
    forget_container(doomed.path())
        .map_err(|error| Failure::of(&error).maybe_help(error.help()))?;
    doomed.close().map_err(cannot)
}

/// Removes a draft that is a folder: a sandbox half made, or half removed.
pub(super) fn clear(draft: &Path) -> io::Result<()> {
    // What cannot be removed now, the next command may.
    let _ = forget_container(draft);
    fs::remove_dir_all(draft)
}

/// Where in its draft a sandbox lies while it is removed.
fn sandbox(draft: &Path) -> PathBuf {
    draft.join("sandbox")
}

/// Removes what belongs to the container's users rather than to the caller.
fn forget_container(draft: &Path) -> Result<(), container::Error> {
    let root = container::root_dir(&sandbox(draft));
    if !container::is_root_begun(&root) {
        return Ok(());
    }
    container::remove_root(&root, &container::Ids::of(Caller::current())?)
}
