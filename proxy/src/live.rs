//! The policy in force: loaded, replaced at once and as a whole, never lost.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use policy_lang::Policy;
use tokio::sync::watch;

use crate::list_images::ListImages;
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
    images: Option<ListImages>,
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
    ///
    /// Images of long lists are kept in the folder `images`, if there is one and it is the user's alone.
    pub(crate) fn load(
        path: &Path,
        images: Option<&Path>,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let images = images.and_then(|dir| ListImages::open(dir).ok());
        let content = std::fs::read(path);
        let mut sources = Sources::with_images(path, images.as_ref());
        let file = PolicyFile::compile(path, &content, &mut sources)?;
        let live = Self {
            path: path.to_owned(),
            images,
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
            images: None,
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
        // Read with `seen` locked: else what was read first could be put in force last.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let content = std::fs::read(&self.path);
        let same = match (&content, &seen.content) {
            (Ok(new), Ok(old)) => new == old,
            (Err(new), Err(old)) => new.kind() == old.kind(),
            _ => false,
        };
        if same && seen.included.iter().all(Included::is_unchanged) {
            return Look::Same;
        }
        let mut sources = Sources::with_images(&self.path, self.images.as_ref());
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
        let (live, _) = Live::load(&path, None).unwrap();
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

    /// However many look at the same time: the policy that was in the file before a look is in force after it.
    #[test]
    fn what_was_read_first_is_not_put_in_force_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.policy");
        let save = |host: &str| {
            let draft = dir.path().join("draft");
            std::fs::write(&draft, format!("allow {host}\n")).unwrap();
            std::fs::rename(&draft, &path).unwrap();
        };
        save("first.test");
        let (live, _) = Live::load(&path, None).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        live.look();
                        std::thread::yield_now();
                    }
                });
            }
            let stale = (0..100).find(|n| {
                let host = format!("n{n}.test");
                save(&host);
                live.look();
                let target = policy_lang::Target::parse(&host, Some(policy_lang::Port::HTTPS));
                let target = target.unwrap();
                let mut looks = 0..20;
                looks.any(|_| {
                    std::thread::yield_now();
                    !live.snapshot().policy.admit_host(&target).action.is_allow()
                })
            });
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(stale, None);
        });
    }

    #[test]
    fn no_policy_no_start() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Live::load(&dir.path().join("none"), None),
            Err(ConfigError::Unreadable { .. })
        ));
    }

    /// A long block list is saved once it stands still, is ready from what was saved, and is read again when it
    /// changes or what was saved is spoilt.
    #[test]
    fn images_say_what_lists_say() {
        let dir = tempfile::tempdir().unwrap();
        let [config, list, images] =
            ["c.policy", "long.txt", "lists"].map(|name| dir.path().join(name));
        std::fs::write(&config, "default allow\nblock list \"long.txt\"\n").unwrap();
        let names =
            |ending: &str| -> String { (0..30_000).map(|n| format!("n{n}.{ending}\n")).collect() };
        std::fs::write(&list, names("test")).unwrap();
        let load = || Live::load(&config, Some(&images)).unwrap().0;
        let blocked = |live: &Live, name: &str| {
            let target = policy_lang::Target::parse(name, Some(policy_lang::Port::HTTPS)).unwrap();
            let snapshot = live.snapshot();
            let verdict = snapshot.policy.admit_host(&target);
            (!verdict.action.is_allow()).then(|| snapshot.policy.describe(verdict.reason))
        };
        let rule = Some("rule `block n7.test` (long.txt:8:1)".to_owned());
        let saved = || {
            let entries = std::fs::read_dir(&images).ok()?;
            let mut paths = entries.map(|entry| entry.unwrap().path());
            paths.find(|path| path.file_name().unwrap() != "key")
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while saved().is_none() {
            assert_eq!(blocked(&load(), "n7.test"), rule);
            assert!(std::time::Instant::now() < deadline, "never saved");
        }
        let image = saved().unwrap();
        let whole = std::fs::read(&image).unwrap();
        for bytes in [whole.len(), whole.len() - 1, 300, 0] {
            std::fs::File::options()
                .write(true)
                .open(&image)
                .unwrap()
                .set_len(bytes as u64)
                .unwrap();
            let live = load();
            assert_eq!(blocked(&live, "n7.test"), rule, "{bytes} bytes");
            assert_eq!(blocked(&live, "n7.other.test"), None);
            assert_eq!(live.look(), Look::Same);
            assert_eq!(live.files(), [config.clone(), list.clone()]);
            std::fs::write(&image, &whole).unwrap();
        }

        let live = load();
        std::fs::write(&list, names("other.test")).unwrap();
        assert!(matches!(live.look(), Look::Changed { .. }));
        assert_eq!(blocked(&live, "n7.test"), None);
        assert!(blocked(&live, "n7.other.test").is_some());
    }
}
