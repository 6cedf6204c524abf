//! One folder of the host with all that is below it, watched by inotify(7).

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::share::Hidden;

/// Folders watched, the highest first. Each takes about a kilobyte of the kernel's memory and one of the user's watches
/// (`fs.inotify.max_user_watches`), of which editors want some, too.
const MOST_FOLDERS: usize = 8192;

/// Thousands of folders whose files never change.
const OBJECTS: &str = ".git/objects";

const CHANGES: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK);

/// Something that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    /// Relative to the folder.
    pub(super) path: PathBuf,
    /// Whether it has just got this name.
    pub(super) is_new: bool,
}

/// A folder that is watched.
pub(super) struct Folder {
    root: PathBuf,
    hidden: Hidden,
    inotify: AsyncFd<OwnedFd>,
    /// Each watch's folder, relative to the root.
    watched: HashMap<i32, PathBuf>,
    is_partial: bool,
    /// Read and not yet taken.
    events: Vec<Event>,
}

impl Folder {
    /// Begins. Blocks while it looks for folders; call it within a runtime.
    #[expect(
        deprecated,
        reason = "its replacement is unsafe for types that change their descriptor; `OwnedFd` cannot"
    )]
    pub(super) fn watch(root: PathBuf, hidden: Hidden) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let mut folder = Self {
            root,
            hidden,
            inotify: AsyncFd::new(inotify)?,
            watched: HashMap::new(),
            is_partial: false,
            events: Vec::new(),
        };
        folder.add(PathBuf::new(), |_| {});
        if folder.watched.is_empty() {
            return Err(io::Error::other("it can't be watched"));
        }
        Ok(folder)
    }

    /// Whether there are folders that are not watched because they are too many.
    pub(super) fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Whether there are changes already.
    pub(super) fn has_changed(&mut self) -> io::Result<bool> {
        match read(self.inotify.get_ref()) {
            Ok(events) => self.events.extend(events),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(!self.events.is_empty())
    }

    /// Waits for changes.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        let events = self.inotify.async_io(Interest::READABLE, read).await?;
        self.events.extend(events);
        Ok(())
    }

    /// What changed since it was asked last, each file once.
    pub(super) fn take(&mut self) -> io::Result<Vec<Changed>> {
        self.has_changed()?;
        let mut changes = Gathered::default();
        for event in std::mem::take(&mut self.events) {
            self.note(event, &mut changes);
        }
        Ok(changes.list)
    }

    fn note(&mut self, event: Event, changes: &mut Gathered) {
        let Event { watch, flags, name } = event;
        if flags.contains(ReadFlags::IGNORED) {
            self.watched.remove(&watch);
            return;
        }
        let (Some(folder), Some(name)) = (self.watched.get(&watch), name) else {
            return;
        };
        let path = folder.join(name);
        if self.hidden.hides_path(&path) {
            return;
        }
        let is_new = flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        changes.add(&path, is_new);
        if !flags.contains(ReadFlags::ISDIR) {
            return;
        }
        if flags.contains(ReadFlags::MOVED_FROM) {
            self.forget(&path);
        } else if is_new {
            // Files may have been put into it before it was watched.
            self.add(path, |found| changes.add(found, true));
        }
    }

    /// Watches a folder and all below it, the highest first, and names what is in them.
    fn add(&mut self, folder: PathBuf, mut found: impl FnMut(&Path)) {
        let mut waiting = VecDeque::from([folder]);
        while let Some(folder) = waiting.pop_front() {
            if self.watched.len() >= MOST_FOLDERS {
                self.is_partial = true;
                return;
            }
            let here = self.root.join(&folder);
            match inotify::add_watch(self.inotify.get_ref(), &here, CHANGES) {
                Ok(watch) => self.watched.insert(watch, folder.clone()),
                Err(Errno::NOSPC) => {
                    self.is_partial = true;
                    return;
                }
                Err(_) => continue, // gone already, or not ours to read
            };
            for entry in fs::read_dir(here).into_iter().flatten().flatten() {
                let path = folder.join(entry.file_name());
                if self.hidden.hides_path(&path) || path == Path::new(OBJECTS) {
                    continue;
                }
                found(&path);
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    waiting.push_back(path);
                }
            }
        }
    }

    /// A folder has left; its watches would tell of it under its old name.
    fn forget(&mut self, folder: &Path) {
        let inotify = self.inotify.get_ref();
        self.watched.retain(|watch, path| {
            let stays = !path.starts_with(folder);
            if !stays {
                let _ = inotify::remove_watch(inotify, *watch);
            }
            stays
        });
    }
}

/// All events that there are; an error of kind `WouldBlock` if there are none.
fn read(inotify: &OwnedFd) -> io::Result<Vec<Event>> {
    let mut buffer = [MaybeUninit::uninit(); 1 << 16];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    let mut events = Vec::new();
    loop {
        match reader.next() {
            Ok(event) => events.push(Event {
                watch: event.wd(),
                flags: event.events(),
                name: event
                    .file_name()
                    .map(|name| OsStr::from_bytes(name.to_bytes()).into()),
            }),
            Err(Errno::AGAIN) if !events.is_empty() => return Ok(events),
            Err(error) => return Err(error.into()),
        }
    }
}

struct Event {
    watch: i32,
    flags: ReadFlags,
    name: Option<PathBuf>,
}

/// Each path once, in the order in which they were first seen.
#[derive(Default)]
struct Gathered {
    list: Vec<Changed>,
    places: HashMap<PathBuf, usize>,
}

impl Gathered {
    fn add(&mut self, path: &Path, is_new: bool) {
        let known = self.places.get(path).and_then(|at| self.list.get_mut(*at));
        if let Some(changed) = known {
            changed.is_new |= is_new;
            return;
        }
        self.places.insert(path.to_owned(), self.list.len());
        self.list.push(Changed {
            path: path.to_owned(),
            is_new,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(folder: &mut Folder) -> Vec<(String, bool)> {
        folder.changed().await.unwrap();
        let changed = folder.take().unwrap();
        let row = |one: Changed| (one.path.display().to_string(), one.is_new);
        changed.into_iter().map(row).collect()
    }

    fn row(path: &str, is_new: bool) -> (String, bool) {
        (path.to_owned(), is_new)
    }

    #[tokio::test]
    async fn changes_are_told_once_with_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("src/deep")).unwrap();
        fs::create_dir_all(at(".git/objects/00")).unwrap();
        fs::create_dir(at("secret")).unwrap();
        fs::write(at("src/deep/old"), "1").unwrap();
        let hidden = Hidden::new(&[".env".to_owned(), "secret/".to_owned()]).unwrap();
        let mut folder = Folder::watch(dir.path().to_owned(), hidden).unwrap();

        // Nothing of what is hidden, nor of git's objects; the rest in order.
        fs::write(at(".env"), "x").unwrap();
        fs::write(at("secret/key"), "x").unwrap();
        fs::write(at(".git/objects/00/11"), "x").unwrap();
        fs::write(at("src/deep/old"), "22").unwrap();
        fs::write(at("new"), "3").unwrap();
        assert_eq!(
            next(&mut folder).await,
            [row("src/deep/old", false), row("new", true)]
        );

        // A folder that appears with files in it, and is watched from then on.
        fs::create_dir_all(at("made/of")).unwrap();
        fs::write(at("made/of/file"), "4").unwrap();
        let told = next(&mut folder).await;
        assert_eq!(told[0], row("made", true));
        assert!(told.contains(&row("made/of/file", true)), "{told:?}");
        fs::write(at("made/of/file"), "55").unwrap();
        assert_eq!(next(&mut folder).await, [row("made/of/file", false)]);

        // Renamed, it is told of by its new name alone.
        fs::rename(at("made"), at("named")).unwrap();
        let told = next(&mut folder).await;
        assert_eq!(told[..2], [row("made", false), row("named", true)]);
        fs::write(at("named/of/file"), "666").unwrap();
        assert_eq!(next(&mut folder).await, [row("named/of/file", false)]);

        fs::remove_file(at("new")).unwrap();
        assert_eq!(next(&mut folder).await, [row("new", false)]);
        assert!(!folder.is_partial());
    }
}
