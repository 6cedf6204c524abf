//! Images in files: OCI layouts, as folder or tar archive, and what `docker save` writes.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::digest::{Digest, check};
use super::layer::Layer;
use super::manifest::{self, Config, Descriptor, LARGEST_DOCUMENT};
use super::store::Store;

/// Why a file or folder holds no usable image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there or may not be read.
    #[error("`{}` could not be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("`{}` is neither an OCI image layout nor an archive of `docker save`", .0.display())]
    NotAnImage(PathBuf),
    /// It holds several images.
    #[error("`{}` holds {count} images", path.display())]
    Several {
        /// The file or folder.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// Something that it says it holds is missing or too large to be what it should be.
    #[error("`{}` lacks `{part}`", path.display())]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// What is missing.
        part: String,
    },
    /// What it says of the image is of no use.
    #[error("the image in `{}` cannot be used", path.display())]
    Document {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: manifest::Error,
    },
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NotAnImage(_) => Some("make one with `docker save IMAGE > FILE`".to_owned()),
            Self::Several { .. } => {
                Some("save one image only, as in `docker save IMAGE > FILE`".to_owned())
            }
            Self::Missing { .. } => Some("save the image again".to_owned()),
            Self::Read { .. } | Self::Document { .. } => None,
        }
    }
}

/// An image found in a [`Store`].
pub(super) struct Found {
    pub(super) digest: Digest,
    pub(super) config: Config,
    pub(super) layers: Vec<Layer>,
}

/// Finds the one image in a folder or archive.
pub(super) fn find(path: &Path, store: &Store) -> Result<Found, Error> {
    let archive = Archive { path, store };
    if let Some(index) = archive.document("index.json")? {
        return archive.layout_image(&index);
    }
    match archive.document("manifest.json")? {
        Some(list) => archive.docker_image(&list),
        None => Err(Error::NotAnImage(path.to_owned())),
    }
}

/// Either side of [`manifest::resolve`].
enum Resolve {
    Archive(Error),
    Document(manifest::Error),
}

impl From<manifest::Error> for Resolve {
    fn from(source: manifest::Error) -> Self {
        Self::Document(source)
    }
}

struct Archive<'a> {
    path: &'a Path,
    store: &'a Store,
}

/// `index.json` of a layout.
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

/// One image in `manifest.json` of `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    layers: Vec<String>,
}

impl Archive<'_> {
    fn layout_image(&self, index: &[u8]) -> Result<Found, Error> {
        let list: Index = serde_json::from_slice(index).map_err(|e| self.bad(e))?;
        let count = images(&list.manifests);
        if count > 1 {
            return Err(self.several(count));
        }
        let manifest = manifest::resolve(index.to_vec(), |descriptor| {
            self.blob(descriptor).map_err(Resolve::Archive)
        })
        .map_err(|error| match error {
            Resolve::Archive(error) => error,
            Resolve::Document(source) => self.bad(source),
        })?;
        let bytes = self.blob(&manifest.config)?;
        let config = Config::parse(&bytes, manifest.layers.len()).map_err(|e| self.bad(e))?;
        let names = manifest.layers.iter().map(|layer| {
            let digest = layer.digest().map_err(|e| self.bad(e))?;
            Ok(blob_name(&digest))
        });
        let layers = self.layers(&config, names.collect::<Result<_, Error>>()?)?;
        Ok(Found {
            digest: manifest.digest,
            config,
            layers,
        })
    }

    fn docker_image(&self, list: &[u8]) -> Result<Found, Error> {
        let mut images: Vec<DockerImage> = serde_json::from_slice(list).map_err(|e| self.bad(e))?;
        let count = images.len();
        let image = images.pop().filter(|_| count == 1);
        let image = image.ok_or_else(|| self.several(count))?;
        let bytes = self.required(&image.config)?;
        let config = Config::parse(&bytes, image.layers.len()).map_err(|e| self.bad(e))?;
        let digest = Digest::of(&bytes);
        // The config is named by its digest, which is the image's id.
        let stem = image.config.rsplit('/').next().unwrap_or_default();
        let stem = stem.strip_suffix(".json").unwrap_or(stem);
        if let Ok(named) = format!("sha256:{stem}").parse::<Digest>() {
            check(&named, &bytes).map_err(|e| self.bad(e))?;
        }
        let layers = self.layers(&config, image.layers)?;
        Ok(Found {
            digest,
            config,
            layers,
        })
    }

    /// A manifest or config, checked against its digest.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let digest = descriptor.digest().map_err(|e| self.bad(e))?;
        let bytes = self.required(&blob_name(&digest))?;
        check(&digest, &bytes).map_err(|e| self.bad(e))?;
        Ok(bytes)
    }

    fn layers(&self, config: &Config, names: Vec<String>) -> Result<Vec<Layer>, Error> {
        let layers = names.into_iter().zip(&config.diff_ids);
        layers
            .map(|(name, diff_id)| {
                // Opened once now, so that a missing layer is found before any work.
                let found = self.store.open(&name).map_err(|e| self.unreadable(e))?;
                found.ok_or_else(|| self.missing(&name))?;
                let store = self.store.clone();
                Ok(Layer {
                    diff_id: diff_id.clone(),
                    open: Box::new(move || {
                        let found = store.open(&name)?;
                        found.ok_or_else(|| io::ErrorKind::NotFound.into())
                    }),
                })
            })
            .collect()
    }

    fn required(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.document(name)?.ok_or_else(|| self.missing(name))
    }

    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(reader) = self.store.open(name).map_err(|e| self.unreadable(e))? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        BufReader::new(reader)
            .take(LARGEST_DOCUMENT + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| self.unreadable(e))?;
        let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= LARGEST_DOCUMENT);
        fits.then_some(Some(bytes))
            .ok_or_else(|| self.missing(name))
    }

    fn bad(&self, source: impl Into<manifest::Error>) -> Error {
        Error::Document {
            path: self.path.to_owned(),
            source: source.into(),
        }
    }

    fn unreadable(&self, source: io::Error) -> Error {
        Error::Read {
            path: self.path.to_owned(),
            source,
        }
    }

    fn missing(&self, part: &str) -> Error {
        Error::Missing {
            path: self.path.to_owned(),
            part: part.escape_debug().to_string(),
        }
    }

    fn several(&self, count: usize) -> Error {
        Error::Several {
            path: self.path.to_owned(),
            count,
        }
    }
}

/// How many images a layout's index lists: the same name for several platforms is one.
fn images(entries: &[Descriptor]) -> usize {
    let name = |entry: &Descriptor| {
        let annotations = entry.annotations.as_ref()?;
        [
            "io.containerd.image.name",
            "org.opencontainers.image.ref.name",
        ]
        .iter()
        .find_map(|key| annotations.get(*key))
        .cloned()
    };
    let names: std::collections::BTreeSet<_> = entries.iter().map(name).collect();
    names.len()
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
