//! Files that only their owner reads, replaced whole.

use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// Replaces the content of the file at `path`, mode 0600: written beside it under a name of its own, synced and renamed,
/// so that a crash leaves the old content or the new one, and of several writers one wins.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        None => return Err(io::ErrorKind::IsADirectory.into()),
        Some(here) if here.as_os_str().is_empty() => Path::new("."),
        Some(directory) => directory,
    };
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::thread;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    /// Whatever lies beside it, and whatever the file was before.
    #[test]
    fn only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.json");
        let other = dir.path().join("other");
        fs::write(&other, "other").unwrap();
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(&other, open.clone()).unwrap();
        for left in ["secret.json.new", "secret.json"] {
            symlink(&other, dir.path().join(left)).unwrap();
            replace(&path, left.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), left);
            assert_eq!(mode(&path), 0o600, "{left}");
            assert_eq!(fs::read_to_string(&other).unwrap(), "other", "{left}");
            fs::remove_file(&path).unwrap();
        }
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, open).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(names.len(), 3, "nothing is left beside it: {names:?}");
    }

    #[test]
    fn writers_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.json");
        let contents = [b'a', b'b', b'c'].map(|byte| vec![byte; 1 << 20]);
        replace(&path, &contents[0]).unwrap();
        thread::scope(|scope| {
            let writers = contents
                .each_ref()
                .map(|content| scope.spawn(|| (0..10).try_for_each(|_| replace(&path, content))));
            while !writers.iter().all(|writer| writer.is_finished()) {
                assert!(contents.contains(&fs::read(&path).unwrap()));
            }
            for writer in writers {
                writer.join().unwrap().unwrap();
            }
        });
        assert!(contents.contains(&fs::read(&path).unwrap()));
    }

    #[test]
    fn what_cannot_be_replaced_stays() {
        let dir = tempfile::tempdir().unwrap();
        assert!(replace(&dir.path().join("none/secret"), b"x").is_err());
        assert!(replace(dir.path(), b"x").is_err());
        assert!(replace(Path::new("/"), b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
