//! The policies of a directory: one file each, `NAME.policy` or `NAME.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::name::Name;
use crate::live::{Live, Look};

/// How long a file may be gone before its policy is: some editors delete what they save.
const GRACE: Duration = Duration::from_secs(2);

/// The policies that are wanted, as far as they are there.
#[derive(Debug)]
pub(super) struct Policies {
    directory: PathBuf,
    /// Where images of long lists are kept.
    lists: Option<PathBuf>,
    loaded: BTreeMap<Name, Loaded>,
}

#[derive(Debug)]
struct Loaded {
    live: Arc<Live>,
    gone: Option<Instant>,
}

/// What a look at one policy brought.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing new, and all is well.
    Same,
    /// It is in force, for the first time or anew, with these warnings.
    Changed(Arc<Live>, Vec<String>),
    /// It cannot be used as it is. What was in force stays.
    Wrong(String),
    /// It is gone for good, or was never there.
    Missing(String),
}

impl Policies {
    pub(super) fn new(directory: PathBuf, lists: Option<PathBuf>) -> Self {
        Self {
            directory,
            lists,
            loaded: BTreeMap::new(),
        }
    }

    pub(super) fn live(&self, name: &Name) -> Option<&Arc<Live>> {
        self.loaded.get(name).map(|loaded| &loaded.live)
    }

    /// Lets go of all but the `wanted`.
    pub(super) fn keep(&mut self, wanted: &BTreeSet<Name>) {
        self.loaded.retain(|name, _| wanted.contains(name));
    }

    /// All files that a change of matters: those there are, and those there could be.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let loaded = self.loaded.values().flat_map(|loaded| loaded.live.files());
        loaded.chain([self.directory.join("any")]).collect()
    }

    /// Looks at the policy `name`, and loads it if it is new.
    pub(super) fn look(&mut self, name: &Name) -> Found {
        let path = match file(&self.directory, name) {
            Ok(path) => path,
            Err(Absent::Ambiguous(what)) => return Found::Wrong(what),
            Err(Absent::Missing(what)) => return self.miss(name, what),
        };
        match self.loaded.get_mut(name) {
            Some(loaded) if loaded.live.path() == path => {
                loaded.gone = None;
                match loaded.live.look() {
                    Look::Same => match loaded.live.error() {
                        None => Found::Same,
                        Some(error) => Found::Wrong(error.to_string()),
                    },
                    Look::Changed { warnings, .. } => Found::Changed(loaded.live.clone(), warnings),
                    Look::Wrong(error) => Found::Wrong(error.to_string()),
                }
            }
            _ => match Live::load(&path, self.lists.as_deref()) {
                Ok((live, warnings)) => {
                    let live = Arc::new(live);
                    let loaded = Loaded {
                        live: live.clone(),
                        gone: None,
                    };
                    self.loaded.insert(name.clone(), loaded);
                    Found::Changed(live, warnings)
                }
                Err(error) => Found::Wrong(error.to_string()),
            },
        }
    }

    fn miss(&mut self, name: &Name, what: String) -> Found {
        let Some(loaded) = self.loaded.get_mut(name) else {
            return Found::Missing(what);
        };
        let gone = *loaded.gone.get_or_insert_with(Instant::now);
        if gone.elapsed() < GRACE {
            return Found::Same;
        }
        self.loaded.remove(name);
        Found::Missing(what)
    }
}

enum Absent {
    Missing(String),
    Ambiguous(String),
}

/// The one file of the policy `name`.
fn file(directory: &Path, name: &Name) -> Result<PathBuf, Absent> {
    let files = ["policy", "json"].map(|form| directory.join(format!("{name}.{form}")));
    // One that cannot be looked at is there, and the attempt to read it tells why it cannot be.
    let [language, json] = files
        .each_ref()
        .map(|file| file.try_exists().unwrap_or(true));
    let [in_language, in_json] = files;
    let directory = directory.display();
    match (language, json) {
        (true, false) => Ok(in_language),
        (false, true) => Ok(in_json),
        (true, true) => Err(Absent::Ambiguous(format!(
            "`{name}.policy` and `{name}.json` are both in `{directory}`"
        ))),
        (false, false) => Err(Absent::Missing(format!(
            "there is no `{name}.policy` or `{name}.json` in `{directory}`"
        ))),
    }
}
