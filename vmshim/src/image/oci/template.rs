//! Finished templates in the cache: `root.erofs` and, beside it, `image.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::layer::Layer;
use super::manifest::ImageConfig;
use super::{Error, Reference, pack};
use crate::cache::{self, Cache};
use crate::image::{KIND, root_disk};
use crate::progress::Progress;

/// Bump when packing changes so that cached templates must be made again.
const GENERATION: u32 = 1;

/// The cache folder that maps names to digests.
const NAMES: &str = "references";

/// An image that a sandbox can start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The read-only root disk, an erofs image.
    pub root: PathBuf,
    /// How the image wants to be run.
    pub config: ImageConfig,
    /// The digest of the image's manifest, or of its config if it came without one.
    pub digest: Digest,
}

/// What `image.json` holds.
#[derive(Deserialize, Serialize)]
struct Record {
    digest: String,
    config: ImageConfig,
    /// Layers in the cache that it was made of.
    #[serde(default)]
    layers: Vec<String>,
}

impl Template {
    /// The template of the image `digest`, if it was made before.
    pub(super) fn find(cache: &Cache, digest: &Digest) -> Option<Self> {
        let dir = cache.find(KIND, &entry_name(digest))?;
        Self::open(&dir).ok()
    }

    /// The template of the image `digest`, letting `layers` bring its layers when it is not there yet.
    pub(super) fn ensure(
        cache: &Cache,
        digest: &Digest,
        config: &ImageConfig,
        cached: Vec<String>,
        layers: impl FnOnce() -> Result<Vec<Layer>, Error>,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let dir = cache.ensure(KIND, &entry_name(digest), |draft| {
            let layers = layers()?;
            pack::pack(&layers, &root_disk(draft), progress)?;
            let record = Record {
                digest: digest.to_string(),
                config: config.clone(),
                layers: cached,
            };
            let path = draft.join("image.json");
            let json = serde_json::to_vec_pretty(&record).map_err(io::Error::other);
            json.and_then(|json| fs::write(&path, json))
                .map_err(|source| Error::from(cache::Error::Io { path, source }))
        })?;
        Self::open(&dir)
    }

    /// The digest of the image that the template in `dir` was made from, if it was made from one.
    pub(crate) fn digest_of(dir: &Path) -> Option<Digest> {
        Some(Self::open(dir).ok()?.digest)
    }

    /// The cache's names of the layers that the template in `dir` was made of.
    pub(crate) fn layers_of(dir: &Path) -> Vec<String> {
        read(dir).map(|record| record.layers).unwrap_or_default()
    }

    fn open(dir: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Read {
            path: dir.to_owned(),
            source,
        };
        let record = read(dir).map_err(unreadable)?;
        let digest = record
            .digest
            .parse()
            .map_err(|e| unreadable(io::Error::other(e)))?;
        Ok(Self {
            root: root_disk(dir),
            config: record.config,
            digest,
        })
    }
}

fn read(dir: &Path) -> io::Result<Record> {
    let bytes = fs::read(dir.join("image.json"))?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn entry_name(digest: &Digest) -> String {
    format!("oci-{}-g{GENERATION}", digest.hex())
}

/// Notes that `name` was the image `digest` when it was last looked up.
pub(super) fn remember(cache: &Cache, name: &str, digest: &Digest) -> Result<(), cache::Error> {
    let path = note_path(cache, name);
    let write = || {
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let mut draft = tempfile::NamedTempFile::new_in(dir)?;
        io::Write::write_all(&mut draft, format!("{digest} {name}\n").as_bytes())?;
        draft.as_file().sync_all()?;
        draft.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| cache::Error::Io {
        path: path.clone(),
        source,
    })
}

/// The template that `name` was when it was last looked up.
pub(super) fn recall(cache: &Cache, name: &str) -> Option<Template> {
    let note = fs::read_to_string(note_path(cache, name)).ok()?;
    let digest = note.split(' ').next()?.parse().ok()?;
    Template::find(cache, &digest)
}

/// Every name that was ever remembered.
pub(super) fn notes(cache: &Cache) -> Vec<String> {
    all_notes(cache)
        .into_iter()
        .map(|(name, ..)| name)
        .collect()
}

/// Each name with the digest that it stands for and the file that says so.
fn all_notes(cache: &Cache) -> Vec<(String, Digest, PathBuf)> {
    let entries = fs::read_dir(cache.root().join(NAMES)).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let read = |path: PathBuf| {
        let note = fs::read_to_string(&path).ok()?;
        let (digest, name) = note.trim_end().split_once(' ')?;
        Some((name.to_owned(), digest.parse().ok()?, path))
    };
    paths.filter_map(read).collect()
}

/// The names of each image that is there or was.
pub(crate) fn names(cache: &Cache) -> BTreeMap<Digest, Vec<String>> {
    let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    let is_name = |(name, ..): &(String, Digest, PathBuf)| !name.contains(' ');
    for (name, digest, _) in all_notes(cache).into_iter().filter(is_name) {
        names.entry(digest).or_default().push(name);
    }
    names.values_mut().for_each(|names| names.sort());
    names
}

/// Forgets the names of images whose templates are gone.
pub(crate) fn forget_names(cache: &Cache) -> Result<(), cache::Error> {
    for (_, digest, path) in all_notes(cache) {
        if Template::find(cache, &digest).is_none() {
            fs::remove_file(&path).map_err(cache::Error::at(&path))?;
        }
    }
    Ok(())
}

/// Lets `reference` stand for `template` from now on, as if it had been pulled.
pub fn name(cache: &Cache, reference: &Reference, template: &Template) -> Result<(), cache::Error> {
    remember(cache, &reference.to_string(), &template.digest)
}

/// A template without content, for tests.
#[cfg(test)]
pub(crate) fn plant(cache: &Cache, name: &str, layers: &[&str]) {
    let digest = Digest::of(name.as_bytes());
    let layers = layers.iter().map(|layer| (*layer).to_owned()).collect();
    let config = ImageConfig::default();
    let none = || Ok(Vec::new());
    Template::ensure(
        cache,
        &digest,
        &config,
        layers,
        none,
        &crate::progress::Silent,
    )
    .unwrap();
    remember(cache, name, &digest).unwrap();
}

/// Names hold slashes and colons, so files are called by their digests.
fn note_path(cache: &Cache, name: &str) -> PathBuf {
    cache.path(NAMES, Digest::of(name.as_bytes()).hex())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn a_name_is_recalled_once_its_template_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        let digest = Digest::of(b"an image");
        assert!(recall(&cache, "x:1").is_none());
        remember(&cache, "x:1", &digest).unwrap();
        assert!(recall(&cache, "x:1").is_none());
        let config = ImageConfig {
            user: "agent".to_owned(),
            ..ImageConfig::default()
        };
        let made = Template::ensure(
            &cache,
            &digest,
            &config,
            Vec::new(),
            || Ok(Vec::new()),
            &Silent,
        )
        .unwrap();
        assert_eq!(recall(&cache, "x:1").unwrap(), made);
        assert_eq!(made.config, config);
        assert!(made.root.is_file());
        assert!(recall(&cache, "x:2").is_none());
        assert_eq!(notes(&cache), ["x:1"]);
    }
}
