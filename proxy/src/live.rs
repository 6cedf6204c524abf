//! The policy in force: loaded, replaced at once and as a whole, never lost.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use policy_lang::Policy;
use tokio::sync::watch;

use crate::policy_file::{ConfigError, PolicyFile};
use crate::sources::{Included, Sources};

/// One policy and its number.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Grows by one with every policy that takes effect, from 1.
    pub(crate) generation: u64,
    pub(crate) policy: Policy,
}

/// What a look at the file brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// The bytes are the ones already known.
    Same,
    /// A new policy is in force, with these warnings.
    Changed {
        generation: u64,
        warnings: Vec<String>,
    },
    /// The file is wrong; the policy in force stays.
    Wrong(ConfigError),
}

/// The policy in force and the file it comes from.
#[derive(Debug)]
pub(crate) struct Live {
    path: PathBuf,
    current: ArcSwap<Snapshot>,
    seen: Mutex<Seen>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Seen {
    content: io::Result<Vec<u8>>,
    included: Vec<Included>,
    error: Option<ConfigError>,
}

impl Live {
    /// Loads the first policy. Without a valid one there is none to fall back on, and no proxy.
    pub(crate) fn load(path: &Path) -> Result<(Self, Vec<String>), ConfigError> {
        let content = std::fs::read(path);
        let mut sources = Sources::new(path);
        let file = PolicyFile::compile(path, &content, &mut sources)?;
        let live = Self {
            path: path.to_owned(),
            current: ArcSwap::from_pointee(Snapshot {
                generation: 1,
                policy: file.policy,
            }),
            seen: Mutex::new(Seen {
                content,
                included: sources.read,
                error: None,
            }),
            changes: watch::Sender::new(1),
        };
        Ok((
            live,
            file.warnings.iter().map(ToString::to_string).collect(),
        ))
    }

    /// A policy without a file, which never changes.
    pub(crate) fn fixed(policy: Policy) -> Self {
        Self {
            path: PathBuf::new(),
            current: ArcSwap::from_pointee(Snapshot {
                generation: 1,
                policy,
            }),
            seen: Mutex::new(Seen {
                content: Ok(Vec::new()),
                included: Vec::new(),
                error: None,
            }),
            changes: watch::Sender::new(1),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The policy in force. COST: a few nanoseconds; never waits.
    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.snapshot().generation
    }

    /// The config file and all it includes, as last read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let included = seen.included.iter().map(|included| included.path.clone());
        std::iter::once(self.path.clone()).chain(included).collect()
    }

    /// Tells of every change, by the new generation.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What is wrong with the file as last seen.
    pub(crate) fn error(&self) -> Option<ConfigError> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .error
            .clone()
    }

    /// Reads the file and, if its bytes are new, puts it in force.
    pub(crate) fn look(&self) -> Look {
        let content = std::fs::read(&self.path);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let same = match (&content, &seen.content) {
            (Ok(new), Ok(old)) => new == old,
            (Err(new), Err(old)) => new.kind() == old.kind(),
            _ => false,
        };
        if same && seen.included.iter().all(Included::is_unchanged) {
            return Look::Same;
        }
        let mut sources = Sources::new(&self.path);
        let compiled = PolicyFile::compile(&self.path, &content, &mut sources);
        seen.content = content;
        seen.included = sources.read;
        match compiled {
            Ok(file) => {
                seen.error = None;
                Look::Changed {
                    generation: self.replace(file.policy),
                    warnings: file.warnings.iter().map(ToString::to_string).collect(),
                }
            }
            Err(error) => {
                seen.error = Some(error.clone());
                Look::Wrong(error)
            }
        }
    }

    /// INVARIANT: called with `seen` locked, so generations are handed out one after the other.
    fn replace(&self, policy: Policy) -> u64 {
        let generation = self.generation() + 1;
        let old = self.current.swap(Arc::new(Snapshot { generation, policy }));
        self.changes.send_replace(generation);
        drop(old);
        generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_good_policy_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proxy-config.json");
        std::fs::write(&path, r#"{"policy":"deny"}"#).unwrap();
        let (live, _) = Live::load(&path).unwrap();
        assert_eq!((live.generation(), live.look()), (1, Look::Same));

        std::fs::write(&path, "{\n  \"policy\": 1\n}").unwrap();
        let Look::Wrong(error) = live.look() else {
            panic!("taken")
        };
        assert!(
            error.to_string().starts_with("proxy-config.json:2:13: "),
            "{error}"
        );
        assert_eq!((live.generation(), live.error()), (1, Some(error)));

        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            live.look(),
            Look::Wrong(ConfigError::Unreadable { .. })
        ));
        assert_eq!((live.look(), live.generation()), (Look::Same, 1));

        std::fs::write(&path, r#"{"policy":"allow"}"#).unwrap();
        assert!(matches!(live.look(), Look::Changed { generation: 2, .. }));
        assert_eq!(live.error(), None);
    }

    #[test]
    fn no_policy_no_start() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Live::load(&dir.path().join("none")),
            Err(ConfigError::Unreadable { .. })
        ));
    }
}
