//! The files of a policy: the config file, what it includes, and the lists those name.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use policy_lang::language::{FileKind, Source};

/// Reads included files for the compiler and remembers which ones.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Names are relative to it; it is the config file's directory.
    base: PathBuf,
    pub(crate) read: Vec<Included>,
}

/// One file that went into a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Included {
    pub(crate) path: PathBuf,
    stamp: Option<Stamp>,
}

/// What changes when a file does, without reading it: list files may have a million lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

impl Included {
    fn new(path: PathBuf) -> Self {
        let stamp = fs::metadata(&path).ok().as_ref().map(Stamp::of);
        Self { path, stamp }
    }

    /// Whether the file is as it was when it was read.
    pub(crate) fn is_unchanged(&self) -> bool {
        *self == Self::new(self.path.clone())
    }
}

impl Sources {
    pub(crate) fn new(config: &Path) -> Self {
        Self {
            base: directory(config),
            read: Vec::new(),
        }
    }

    /// Reads the file that is called `name` in the file `from`.
    pub(crate) fn load(&mut self, _: FileKind, name: &str, from: &str) -> Result<Source, String> {
        let named = directory(Path::new(from)).join(name);
        let path = normal(&self.base.join(&named));
        // Before the reading, so that a change in between is noticed as one.
        self.read.push(Included::new(path.clone()));
        let bytes = fs::read(&path).map_err(|error| reason(&error))?;
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let shown = path
            .strip_prefix(normal(&self.base))
            .unwrap_or(&path)
            .display()
            .to_string();
        Ok(Source {
            name: Arc::from(shown),
            text,
        })
    }
}

fn directory(file: &Path) -> PathBuf {
    file.parent().map(Path::to_owned).unwrap_or_default()
}

/// Without `.` and `..`, so that one file has one name however it is reached.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut out, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            part => out.push(part),
        }
        out
    })
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_file_that_names_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        for (file, text) in [("a.policy", "a"), ("sub/b.policy", "b"), ("sub/c.txt", "c")] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let rows = [
            ("a.policy", "proxy-config.json", Ok(("a.policy", "a"))),
            (
                "./sub/../a.policy",
                "proxy-config.json",
                Ok(("a.policy", "a")),
            ),
            (
                "sub/b.policy",
                "proxy-config.json",
                Ok(("sub/b.policy", "b")),
            ),
            ("c.txt", "sub/b.policy", Ok(("sub/c.txt", "c"))),
            ("../a.policy", "sub/b.policy", Ok(("a.policy", "a"))),
            ("none", "proxy-config.json", Err("no such file")),
        ];
        let mut sources = Sources::new(&dir.path().join("proxy-config.json"));
        for (name, from, expected) in rows {
            let loaded = sources.load(FileKind::Policy, name, from);
            let got = loaded
                .as_ref()
                .map(|source| (&*source.name, source.text.as_str()));
            assert_eq!(got.map_err(String::as_str), expected, "{name} in {from}");
        }
        assert_eq!(sources.read.len(), rows.len());
        assert!(sources.read.iter().all(Included::is_unchanged));
        fs::write(dir.path().join("none"), "now there").unwrap();
        assert!(!sources.read[5].is_unchanged());
    }
}
