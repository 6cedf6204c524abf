//! Notices that the policy file was saved, however it was saved.
//!
//! The directory is watched rather than the file, because most editors replace the file. What the kernel does not
//! tell (a symlink swapped two levels up, a network file system, an exhausted inotify limit) a look each second finds.

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

/// Looks at the file whenever it may have changed and gives each outcome to `report`, until `live` is gone.
pub(crate) async fn watch(live: Weak<Live>, report: impl Fn(&Look)) {
    let touched = Arc::new(Notify::new());
    // Kept only to be alive; without it the look each second remains.
    let _watcher = live
        .upgrade()
        .and_then(|live| watcher(&live, touched.clone()));
    loop {
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

fn watcher(live: &Live, touched: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |_| touched.notify_one()).ok()?;
    let mut watched = false;
    let real = live.path().canonicalize().ok();
    for path in [Some(live.path()), real.as_deref()].into_iter().flatten() {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(std::path::Path::new("."));
        watched |= watcher
            .watch(directory, RecursiveMode::NonRecursive)
            .is_ok();
    }
    watched.then_some(watcher)
}
