//! The templates that are on this machine, and taking them away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::oci::{self, Digest};
use super::{KIND, Recipe, root_disk};
use crate::cache::{Cache, Error};

/// A template on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What `--template` knows it by; the digest of an image that no name stands for any more.
    pub names: Vec<String>,
    /// Where it came from.
    pub source: Source,
    /// Its folder in the cache.
    pub dir: PathBuf,
    /// What its disk image takes, in bytes.
    pub bytes: u64,
    /// When it was made.
    pub made: SystemTime,
}

/// Where a template came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Built by a recipe from packages.
    Recipe,
    /// Made from the layers of an image.
    Image,
}

/// Every template that is whole, recipes first.
pub fn list(cache: &Cache) -> Vec<Entry> {
    let named = oci::names(cache);
    let mut entries: Vec<Entry> = cache
        .names(KIND)
        .into_iter()
        .filter_map(|entry| read(cache, &entry, &named))
        .collect();
    entries.sort_by_key(|entry| (entry.source == Source::Image, entry.names.clone()));
    entries
}

fn read(cache: &Cache, entry: &str, named: &BTreeMap<Digest, Vec<String>>) -> Option<Entry> {
    let dir = cache.path(KIND, entry);
    let disk = fs::metadata(root_disk(&dir)).ok()?;
    let (names, source) = match oci::Template::digest_of(&dir) {
        Some(digest) => {
            let names = named.get(&digest).cloned();
            (
                names.unwrap_or_else(|| vec![digest.to_string()]),
                Source::Image,
            )
        }
        None => {
            let (name, _) = entry.rsplit_once('-')?;
            Recipe::named(name).ok()?;
            (vec![name.to_owned()], Source::Recipe)
        }
    };
    Some(Entry {
        names,
        source,
        bytes: disk.len(),
        made: disk.modified().ok()?,
        dir,
    })
}

/// Takes `entry` away, with the names that stood for it. Running sandboxes keep what they have open.
pub fn remove(cache: &Cache, entry: &Entry) -> Result<(), Error> {
    // As a whole first, so that a removal cut short leaves no half of a template.
    let doomed = entry.dir.with_file_name(format!(
        ".gone-{}",
        entry.dir.file_name().unwrap_or_default().to_string_lossy()
    ));
    let _ = fs::remove_dir_all(&doomed);
    fs::rename(&entry.dir, &doomed).map_err(Error::at(&entry.dir))?;
    fs::remove_dir_all(&doomed).map_err(Error::at(&doomed))?;
    sweep(cache)
}

/// Takes away what no template needs: names without a template, layers that none was made of.
pub fn sweep(cache: &Cache) -> Result<(), Error> {
    let dirs: Vec<PathBuf> = list(cache).into_iter().map(|entry| entry.dir).collect();
    oci::forget_names(cache)?;
    let used: BTreeSet<String> = dirs
        .iter()
        .flat_map(|dir| oci::Template::layers_of(dir))
        .collect();
    for layer in cache.names(oci::LAYERS) {
        if !used.contains(&layer) {
            let dir = cache.path(oci::LAYERS, &layer);
            fs::remove_dir_all(&dir).map_err(Error::at(&dir))?;
        }
    }
    Ok(())
}

impl Entry {
    /// Whether the root disk at `image` is this template's.
    pub fn has(&self, image: &Path) -> bool {
        image.starts_with(&self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(cache: &Cache, name: &str) {
        let made = cache.ensure(KIND, name, |draft| {
            fs::write(root_disk(draft), "disk").map_err(Error::at(draft))
        });
        made.unwrap();
    }

    #[test]
    fn what_is_removed_takes_its_names_and_layers_along() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        recipe(&cache, "shell-0123456789abcdef");
        recipe(&cache, "unknown-0123456789abcdef");
        for layer in ["sha256-shared", "sha256-own", "sha256-orphan"] {
            let made: Result<_, Error> = cache.ensure(oci::LAYERS, layer, |_| Ok(()));
            made.unwrap();
        }
        oci::plant(&cache, "x/a:1", &["sha256-shared", "sha256-own"]);
        oci::plant(&cache, "x/b:1", &["sha256-shared"]);
        let names = |cache: &Cache| -> Vec<String> {
            list(cache)
                .into_iter()
                .flat_map(|entry| entry.names)
                .collect()
        };
        assert_eq!(names(&cache), ["shell", "x/a:1", "x/b:1"]);

        let all = list(&cache);
        remove(&cache, &all[1]).unwrap();
        assert_eq!(names(&cache), ["shell", "x/b:1"]);
        assert_eq!(cache.names(oci::LAYERS), ["sha256-shared"]);
        assert!(oci::names(&cache).into_values().flatten().eq(["x/b:1"]));
        remove(&cache, &all[0]).unwrap();
        remove(&cache, &all[2]).unwrap();
        assert_eq!(names(&cache), [""; 0]);
        assert_eq!(cache.names(oci::LAYERS), [""; 0]);
    }
}
