//! Writing the files that people name.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::report::Failure;

/// Replaces the content of `path` as a whole: a crash at any instant leaves the old or the new. A link stays a
/// link, a file keeps its permissions, a new one gets the usual ones.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    replace(path, content)
        .map_err(|error| Failure::doing(format!("cannot write `{}`", path.display()), &error))
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(path)?,
        Err(error) => return Err(error),
    };
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)?;
    file.write_all(content)?;
    if let Ok(old) = fs::metadata(&path) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    fs::File::open(dir)?.sync_all()
}
