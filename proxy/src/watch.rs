//! Notices that the policy file was saved, however it was saved.
//!
//! Directories are watched rather than files, because most editors replace the file. What the kernel does not
//! tell (a symlink swapped two levels up, a network file system, an exhausted inotify limit) a look each second finds.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

use crate::live::{Live, Look};

/// The longest a change can go unnoticed.
const POLL: Duration = Duration::from_millis(900);

/// Editors write in several steps; a file is read when it has been quiet this long.
const QUIET: Duration = Duration::from_millis(25);

/// A wrong file is looked at again after this long before anybody is told: it may be half written.
const SECOND_LOOK: Duration = Duration::from_millis(75);

/// Looks at the files whenever one may have changed and gives each outcome to `report`, until `live` is gone.
pub(crate) async fn watch(live: Weak<Live>, report: impl Fn(&Look)) {
    let mut directories = Directories::new();
    loop {
        let Some(current) = live.upgrade() else {
            return;
        };
        directories.follow(&current.files());
        drop(current);
        quiet(&directories).await;
        let Some(live) = live.upgrade() else { return };
        match look(live.clone()).await {
            Look::Same => {}
            Look::Wrong(first) => {
                sleep(SECOND_LOOK).await;
                match look(live).await {
                    Look::Same => report(&Look::Wrong(first)),
                    other => report(&other),
                }
            }
            changed @ Look::Changed { .. } => report(&changed),
        }
    }
}

/// Returns when something was saved and nothing has been for a moment, or when it is time to look anyway.
pub(crate) async fn quiet(directories: &Directories) {
    if timeout(POLL, directories.changed()).await.is_ok() {
        sleep(QUIET).await;
    }
}

/// Reading and compiling may take long for a long list, so they happen off the threads that carry traffic.
pub(crate) async fn look(live: Arc<Live>) -> Look {
    tokio::task::spawn_blocking(move || live.look())
        .await
        .unwrap_or(Look::Same)
}

/// What tells that a file was saved. Writing alone does not: the log lies in the same directory as the policy, and
/// would wake the watcher with every request. Whoever writes in place closes the file sooner or later.
const SAVED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::ATTRIB);

/// The directories that are watched. Without inotify the look each second remains.
pub(crate) struct Directories {
    inotify: Option<AsyncFd<OwnedFd>>,
    watched: BTreeMap<PathBuf, i32>,
}

impl Directories {
    #[expect(
        deprecated,
        reason = "its replacement is unsafe for types that change their descriptor; `OwnedFd` cannot"
    )]
    pub(crate) fn new() -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        Self {
            inotify: inotify.ok().and_then(|fd| AsyncFd::new(fd).ok()),
            watched: BTreeMap::new(),
        }
    }

    /// Watches the directories of `files`, both as named and as they are behind links.
    pub(crate) fn follow(&mut self, files: &[PathBuf]) {
        let Some(inotify) = &self.inotify else { return };
        let real = files.iter().filter_map(|file| file.canonicalize().ok());
        let named = files.iter().cloned();
        let wanted: BTreeSet<_> = named.chain(real).map(|file| directory(&file)).collect();
        self.watched.retain(|directory, watch| {
            // One that is gone has taken its watch with it.
            let kept = wanted.contains(directory) && directory.is_dir();
            if !kept {
                let _ = inotify::remove_watch(inotify, *watch);
            }
            kept
        });
        for directory in wanted {
            if !self.watched.contains_key(&directory)
                && let Ok(watch) = inotify::add_watch(inotify, &directory, SAVED)
            {
                self.watched.insert(directory, watch);
            }
        }
    }

    /// Waits for something to be saved. What it was does not matter: the files are looked at.
    async fn changed(&self) {
        let Some(inotify) = &self.inotify else {
            return std::future::pending().await;
        };
        // An error leaves the look each second.
        if inotify
            .async_io(tokio::io::Interest::READABLE, drain)
            .await
            .is_err()
        {
            std::future::pending().await
        }
    }
}

/// Reads all events there are; an error of kind `WouldBlock` if there are none.
fn drain(inotify: &OwnedFd) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(inotify, &mut buffer);
    events.next()?;
    while events.next().is_ok() {}
    Ok(())
}

fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
