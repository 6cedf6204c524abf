//! What shared folders looked like at one moment, to tell later what changed.
//!
//! Names and metadata, no contents. The change time (`ctime`) is the kernel's own: no program can set it back, so a
//! file that was written is noticed whatever else about it was restored.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::risk;

/// More files than any project has; a walk of so many takes seconds.
const MOST: usize = 1_000_000;

/// What is remembered of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Type and permissions, as stat(2) has them.
    pub(crate) mode: u32,
    size: u64,
    /// Nanoseconds since the epoch.
    modified: i128,
    changed: i128,
}

impl Stamp {
    fn of(meta: &fs::Metadata) -> Self {
        let nanos =
            |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let stamp = Self {
            mode: meta.mode(),
            size: meta.size(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
        };
        // A folder changes with each name in it, and those are told themselves.
        match meta.is_dir() {
            true => Self {
                size: 0,
                modified: 0,
                changed: 0,
                ..stamp
            },
            false => stamp,
        }
    }

    pub(crate) fn is_folder(self) -> bool {
        rustix::fs::FileType::from_raw_mode(self.mode).is_dir()
    }
}

/// Every file below some folders, by absolute path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<PathBuf, Stamp>);

impl Snapshot {
    /// Looks at `roots`, folders or files. No symbolic link is followed. What cannot be read is left out: the guest, which is the caller,
    /// cannot read it either.
    pub(crate) fn take(roots: &[PathBuf]) -> io::Result<Self> {
        let (mut open, single): (Vec<PathBuf>, Vec<_>) =
            roots.iter().cloned().partition(|root| root.is_dir());
        let stamped = single.into_iter().filter_map(|file| {
            let stamp = Stamp::of(&fs::symlink_metadata(&file).ok()?);
            Some((file, stamp))
        });
        let mut files: BTreeMap<_, _> = stamped.collect();
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                let Ok(meta) = entry.metadata() else { continue };
                if risk::is_gits_own(&path) {
                    // git writes there whenever it looks; what it runs is told apart.
                    if meta.is_dir() {
                        open.push(path);
                    }
                    continue;
                }
                if meta.is_dir() {
                    open.push(path.clone());
                }
                files.insert(path, Stamp::of(&meta));
                if files.len() > MOST {
                    return Err(io::Error::other(format!("more than {MOST} files")));
                }
            }
        }
        Ok(Self(files))
    }

    /// One record a file: four numbers, the path, NUL.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, stamp) in &self.0 {
            let Stamp {
                mode,
                size,
                modified,
                changed,
            } = stamp;
            bytes.extend_from_slice(format!("{mode} {size} {modified} {changed} ").as_bytes());
            bytes.extend_from_slice(path.as_os_str().as_bytes());
            bytes.push(0);
        }
        bytes
    }

    /// The inverse of [`Snapshot::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let records = bytes
            .split(|byte| *byte == 0)
            .filter(|record| !record.is_empty());
        records.map(record).collect::<Option<_>>().map(Self)
    }
}

fn record(bytes: &[u8]) -> Option<(PathBuf, Stamp)> {
    let mut parts = bytes.splitn(5, |byte| *byte == b' ');
    let mut number = || std::str::from_utf8(parts.next()?).ok();
    let stamp = Stamp {
        mode: number()?.parse().ok()?,
        size: number()?.parse().ok()?,
        modified: number()?.parse().ok()?,
        changed: number()?.parse().ok()?,
    };
    Some((
        Path::new(OsStr::from_bytes(parts.next()?)).to_owned(),
        stamp,
    ))
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// A file that is not as it was, and how it is now, or was if it is gone.
pub(crate) type Changed<'a> = (&'a Path, Change, Stamp);

/// Every difference, by path.
pub(crate) fn compare<'a>(before: &'a Snapshot, after: &'a Snapshot) -> Vec<Changed<'a>> {
    let now = after
        .0
        .iter()
        .filter_map(|(path, stamp)| match before.0.get(path) {
            None => Some((path.as_path(), Change::Added, *stamp)),
            Some(old) if old != stamp => Some((path.as_path(), Change::Modified, *stamp)),
            Some(_) => None,
        });
    let gone = before
        .0
        .iter()
        .filter(|(path, _)| !after.0.contains_key(*path));
    let gone = gone.map(|(path, stamp)| (path.as_path(), Change::Deleted, *stamp));
    let mut all: Vec<Changed<'_>> = now.chain(gone).collect();
    all.sort_by_key(|(path, ..)| *path);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_changed_is_found_even_if_it_was_dressed_up() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["same", "edited", "forged", "chmod", "gone"] {
            fs::write(at(name), "before").unwrap();
        }
        fs::create_dir_all(at(".git/hooks")).unwrap();
        fs::create_dir_all(at(".git/objects/aa")).unwrap();
        fs::write(at(".git/index"), "1").unwrap();
        let roots = [dir.path().to_owned()];
        let before = Snapshot::take(&roots).unwrap();
        assert_eq!(
            Snapshot::from_bytes(&before.to_bytes()).as_ref(),
            Some(&before)
        );
        assert_eq!(compare(&before, &Snapshot::take(&roots).unwrap()), []);

        fs::write(at("edited"), "after!!").unwrap();
        let old = fs::metadata(at("forged")).unwrap().modified().unwrap();
        fs::write(at("forged"), "BEFORE").unwrap();
        fs::File::options()
            .write(true)
            .open(at("forged"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        fs::set_permissions(at("chmod"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(at("gone")).unwrap();
        fs::create_dir(at("new")).unwrap();
        std::os::unix::fs::symlink("/", at("new/link")).unwrap();
        fs::write(at(".git/hooks/pre-commit"), "evil").unwrap();
        fs::write(at(".git/index"), "2").unwrap();
        fs::write(at(".git/objects/aa/bb"), "blob").unwrap();

        let after = Snapshot::take(&roots).unwrap();
        let told: Vec<(String, Change)> = compare(&before, &after)
            .into_iter()
            .map(|(path, change, _)| {
                let path = path.strip_prefix(dir.path()).unwrap();
                (path.display().to_string(), change)
            })
            .collect();
        let wanted = [
            (".git/hooks/pre-commit", Change::Added),
            ("chmod", Change::Modified),
            ("edited", Change::Modified),
            ("forged", Change::Modified),
            ("gone", Change::Deleted),
            ("new", Change::Added),
            ("new/link", Change::Added),
        ];
        assert_eq!(told, wanted.map(|(path, change)| (path.to_owned(), change)));
    }

    #[test]
    fn a_file_that_is_shared_alone_is_looked_at() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let roots = [file.path().to_owned(), "/no/such".into()];
        let before = Snapshot::take(&roots).unwrap();
        fs::write(file.path(), "changed").unwrap();
        let after = Snapshot::take(&roots).unwrap();
        let told = compare(&before, &after);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].0, told[0].1), (file.path(), Change::Modified));
    }

    #[test]
    fn a_damaged_record_is_none() {
        for bytes in [&b"x 1 2 3 /a\0"[..], b"1 2 3\0", b"1 2 3 4\0"] {
            assert_eq!(Snapshot::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
