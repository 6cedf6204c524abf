//! Tells the guest what the host changes in shared folders.
//!
//! virtiofs has no such message, and a program inside that waits for a file to change (inotify(7)) would wait for ever.
//! So the supervisor watches the folders, and the guest's init makes its own kernel say what happened.
//!
//! ```text
//! editor on the host ─► inotify ─► Folder ─► Changed ─► guest's init ─► guest's kernel ─► inotify in the guest
//! program in the guest ─► folder server ─► host's inotify ─► Folder ─x   known from the server's own word
//! ```

mod folder;

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;
use wire::message::{Change, Deed, Kind};

use super::Board;
use crate::guest::{GuestError, Session};
use crate::share::{self, Hidden};
use crate::spec::Share;
use folder::{Changed, Folder};

/// How long changes are gathered: saving a file is many of them.
const GATHER: Duration = Duration::from_millis(30);

/// How long the host's change of a file is taken for the guest's own after the guest has changed it.
const OWN: Duration = Duration::from_secs(1);

/// Files of the guest's own that are remembered, at most.
const MOST_OWN: usize = 1 << 16;

/// Changes in one message.
const MOST_AT_ONCE: usize = 128;

/// Changes told of what happened while one message was on its way. A checkout of another branch is more than anybody
/// watches for; what is left out is seen when it is looked at.
const MOST_GATHERED: usize = 4096;

/// Watches one folder for as long as the guest answers. `touched` is what the folder's server says.
pub(super) async fn follow(
    share: Share,
    touched: Option<ChildStdout>,
    guest: Session,
    board: Arc<Board>,
) {
    let own = Own::default();
    let listening = touched.map(|pipe| tokio::spawn(own.clone().listen(pipe)));
    if let Err(error) = tell(&share, &own, &guest, &board).await {
        let dir = share.host.display();
        board.note(format!(
            "programs inside are not told what the host changes in `{dir}`: {error}"
        ));
    }
    if let Some(listening) = listening {
        // The pipe must not fill up.
        let _ = listening.await;
    }
}

async fn tell(share: &Share, own: &Own, guest: &Session, board: &Board) -> io::Result<()> {
    let hidden = Hidden::new(&share.hide).map_err(io::Error::other)?;
    let host = share.host.clone();
    let opened = tokio::task::spawn_blocking(move || Folder::watch(host, hidden));
    let mut folder = opened.await.map_err(io::Error::other)??;
    let mut told_of_limit = false;
    let mut taken = Instant::now();
    loop {
        if folder.is_partial() && !told_of_limit {
            told_of_limit = true;
            board.note(format!(
                "`{}` has more folders than can be watched: of changes in the deepest, programs inside are not told",
                share.host.display()
            ));
        }
        // Telling takes a while on a busy machine, and what has happened meanwhile was not only just now.
        let since = if folder.has_changed()? {
            taken
        } else {
            folder.changed().await?;
            Instant::now()
        };
        tokio::time::sleep(GATHER).await;
        taken = Instant::now();
        let mut changed = folder.take()?;
        changed.truncate(MOST_GATHERED);
        let changes: Vec<Change> = changed
            .iter()
            .filter_map(|one| describe(share, one, own, since))
            .collect();
        for some in changes.chunks(MOST_AT_ONCE) {
            match guest.changed(some).await {
                Ok(()) => {}
                Err(error @ GuestError::Refused(_)) => return Err(io::Error::other(error)),
                Err(_) => return Ok(()), // its end is told by others
            }
        }
    }
}

/// What has become of a file `since` then, unless the guest did it.
fn describe(share: &Share, changed: &Changed, own: &Own, since: Instant) -> Option<Change> {
    let here = share.host.join(&changed.path);
    let (deed, ino) = match std::fs::symlink_metadata(&here) {
        Ok(meta) if changed.is_new => (Deed::Appeared(kind(&meta)?), meta.ino()),
        Ok(meta) if meta.is_file() => (Deed::Modified, meta.ino()),
        Ok(_) => return None,
        Err(_) => (
            Deed::Gone,
            std::fs::symlink_metadata(here.parent()?).ok()?.ino(),
        ),
    };
    if own.has(ino, since) {
        return None;
    }
    let path = share.guest.join(&changed.path).to_str()?.to_owned();
    Some(Change { path, deed })
}

fn kind(meta: &std::fs::Metadata) -> Option<Kind> {
    let kind = meta.file_type();
    match (kind.is_file(), kind.is_dir(), kind.is_symlink()) {
        (true, _, _) => Some(Kind::File),
        (_, true, _) => Some(Kind::Folder),
        (_, _, true) => Some(Kind::Link),
        _ => None,
    }
}

/// Files that the guest has changed of late, by inode number.
#[derive(Clone, Default)]
struct Own {
    files: Arc<Mutex<HashMap<u64, Instant>>>,
}

impl Own {
    async fn listen(self, mut pipe: ChildStdout) {
        let mut record = [0; share::RECORD];
        while pipe.read_exact(&mut record).await.is_ok() {
            self.add(u64::from_ne_bytes(record));
        }
    }

    fn add(&self, ino: u64) {
        let mut files = self.files();
        if files.len() >= MOST_OWN {
            files.retain(|_, when| when.elapsed() < OWN);
        }
        if files.len() < MOST_OWN {
            files.insert(ino, Instant::now());
        }
    }

    /// Whether the guest changed it then, or shortly before.
    fn has(&self, ino: u64, since: Instant) -> bool {
        let files = self.files();
        let when = files.get(&ino);
        when.is_some_and(|when| since.saturating_duration_since(*when) < OWN)
    }

    fn files(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
