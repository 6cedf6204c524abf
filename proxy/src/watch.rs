//! Notices that the policy file was saved, however it was saved.
//!
//! The directory is watched rather than the file, because most editors replace the file. What the kernel does not
//! tell (a symlink swapped two levels up, a network file system, an exhausted inotify limit) a look each second finds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::Notify;
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
    let touched = Arc::new(Notify::new());
    let mut watched = Watched::new(touched.clone());
    loop {
        let Some(current) = live.upgrade() else {
            return;
        };
        watched.follow(&current.files());
        drop(current);
        if timeout(POLL, touched.notified()).await.is_ok() {
            sleep(QUIET).await;
        }
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

/// Reading and compiling may take long for a long list, so they happen off the threads that carry traffic.
async fn look(live: Arc<Live>) -> Look {
    tokio::task::spawn_blocking(move || live.look())
        .await
        .unwrap_or(Look::Same)
}

/// The directories that are watched. Without a watcher the look each second remains.
struct Watched {
    watcher: Option<notify::RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
}

impl Watched {
    fn new(touched: Arc<Notify>) -> Self {
        // An access is no change; reading the files must not wake the reader.
        let changed = |event: &notify::Event| !event.kind.is_access();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.as_ref().map_or(true, changed) {
                touched.notify_one();
            }
        });
        Self {
            watcher: watcher.ok(),
            directories: BTreeSet::new(),
        }
    }

    /// Watches the directories of `files`, both as named and as they are behind links.
    fn follow(&mut self, files: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let real = files.iter().filter_map(|file| file.canonicalize().ok());
        let wanted: BTreeSet<_> = files
            .iter()
            .cloned()
            .chain(real)
            .map(|file| directory(&file))
            .collect();
        for gone in self.directories.difference(&wanted) {
            // It may not be there any more, and then nothing is watched.
            let _ = watcher.unwatch(gone);
        }
        let mut watched = BTreeSet::new();
        for directory in wanted {
            if self.directories.contains(&directory)
                || watcher
                    .watch(&directory, RecursiveMode::NonRecursive)
                    .is_ok()
            {
                watched.insert(directory);
            }
        }
        self.directories = watched;
    }
}

fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
