//! The files of a policy: the config file, what it includes, and the lists those name.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use policy_lang::language::{FileKind, Load, Source};
use policy_lang::{ListStore, SavedList, Stamp as Bytes, WriteImage};

use crate::list_images::ListImages;

/// How long a file must have stood still before it is believed that its next change shows in its times: a good
/// deal longer than a tick of the kernel's clock.
const SETTLED: Duration = Duration::from_millis(50);

/// Reads included files for the compiler and remembers which ones.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Names are relative to it; it is the config file's directory.
    base: PathBuf,
    pub(crate) read: Vec<Included>,
    images: Option<ListImages>,
    /// Nothing was read before.
    started: SystemTime,
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
    fn to_bytes(self) -> Bytes {
        let (modified, changed) = (self.modified, self.changed);
        let unsigned = [self.device, self.inode, self.size];
        let signed = [modified.0, modified.1, changed.0, changed.1];
        let words = unsigned
            .map(u64::to_le_bytes)
            .into_iter()
            .chain(signed.map(i64::to_le_bytes));
        let mut bytes = [0; size_of::<Bytes>()];
        for (place, byte) in bytes.iter_mut().zip(words.flatten()) {
            *place = byte;
        }
        bytes
    }

    /// Whether what is written to the file from `time` on changes the stamp.
    fn is_settled(self, time: SystemTime) -> bool {
        let (seconds, nanos) = self.changed;
        let since = |seconds| Duration::new(seconds, u32::try_from(nanos).unwrap_or(0));
        let changed = u64::try_from(seconds).map(|seconds| SystemTime::UNIX_EPOCH + since(seconds));
        changed.is_ok_and(|changed| changed + SETTLED <= time)
    }

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
            images: None,
            started: SystemTime::now(),
        }
    }

    /// With images of lists, if there is a folder for them.
    pub(crate) fn with_images(config: &Path, images: Option<&ListImages>) -> Self {
        Self {
            images: images.cloned(),
            ..Self::new(config)
        }
    }

    /// The path of the file that is called `name` in the file `from`.
    fn path(&self, name: &str, from: &str) -> PathBuf {
        let named = directory(Path::new(from)).join(name);
        normal(&self.base.join(&named))
    }

    fn remember(&mut self, included: Included) {
        if !self.read.contains(&included) {
            self.read.push(included);
        }
    }

    fn shown(&self, path: &Path) -> Arc<str> {
        let path = path.strip_prefix(normal(&self.base)).unwrap_or(path);
        path.display().to_string().into()
    }
}

impl Load for Sources {
    fn load(&mut self, _: FileKind, name: &str, from: &str) -> Result<Source, String> {
        let path = self.path(name, from);
        // Before the reading, so that a change in between is noticed as one.
        self.remember(Included::new(path.clone()));
        let bytes = fs::read(&path).map_err(|error| reason(&error))?;
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let name = self.shown(&path);
        Ok(Source { name, text })
    }

    fn store(&mut self) -> Option<&mut dyn ListStore> {
        self.images.is_some().then_some(self)
    }
}

impl ListStore for Sources {
    fn key(&self) -> [u64; 3] {
        self.images.as_ref().map_or([0; 3], ListImages::key)
    }

    fn find(&mut self, name: &str, from: &str) -> Option<SavedList> {
        let included = Included::new(self.path(name, from));
        let image = self.images.as_ref()?.find(&included.path).ok()?;
        let saved = SavedList {
            name: self.shown(&included.path),
            stamp: included.stamp?.to_bytes(),
            image,
        };
        self.remember(included);
        Some(saved)
    }

    fn save(&mut self, name: &str, from: &str, write: &WriteImage<'_>) -> Option<SavedList> {
        let path = self.path(name, from);
        // As it was before it was read.
        let included = self.read.iter().rfind(|included| included.path == path)?;
        let stamp = included
            .stamp
            .filter(|stamp| stamp.is_settled(self.started))?;
        let stamp = stamp.to_bytes();
        let image = self.images.as_ref()?.save(&path, &stamp, write).ok()?;
        let name = self.shown(&path);
        Some(SavedList { name, stamp, image })
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
        assert_eq!(sources.read.len(), 4, "each file once");
        assert!(sources.read.iter().all(Included::is_unchanged));
        fs::write(dir.path().join("none"), "now there").unwrap();
        assert!(!sources.read[3].is_unchanged());
    }
}
