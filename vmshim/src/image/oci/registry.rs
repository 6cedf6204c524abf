//! Pulls manifests and layers from a registry (OCI distribution specification).

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use oci_client::secrets::RegistryAuth;

use super::Reference;
use super::digest::check;
use super::download;
use super::layer::Layer;
use super::manifest::{self, Config, Descriptor, LARGEST_DOCUMENT, Manifest};
use crate::cache::{self, Cache};
use crate::progress::{Event, Progress};

mod error;
mod http;

pub(super) use self::error::Answer;
pub use self::error::Error;
pub(super) use self::http::Http;

/// Layers that are fetched at the same time.
const PARALLEL: usize = 4;

/// The most bytes that all layers of an image may have as the registry sends them.
const LARGEST_IMAGE: u64 = 64 << 30;

/// The cache folder for compressed layers.
pub(crate) const KIND: &str = "layers";

/// An image in a registry.
pub(super) struct Remote<'a> {
    reference: &'a Reference,
    http: Http<'a>,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Remote<'a> {
    /// Prepares to talk to the registry of `reference`; nothing is sent yet.
    ///
    /// Must be called, used and dropped on a thread that runs no asynchronous code.
    pub(super) fn new(reference: &'a Reference, auth: RegistryAuth) -> Result<Self, Error> {
        let http = Http::new(reference, auth)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(Error::Start)?;
        Ok(Self {
            reference,
            http,
            runtime,
        })
    }

    /// This machine's manifest of the image.
    pub(super) fn manifest(&self) -> Result<Manifest, Error> {
        let name = self.reference.digest().or(self.reference.tag());
        let top = self.document(name.unwrap_or("latest"))?;
        let fetch = |descriptor: &Descriptor| {
            let digest = descriptor.digest().map_err(|e| self.bad(e))?;
            self.document(&digest.to_string())
        };
        manifest::resolve(top, |descriptor| {
            fetch(descriptor).map_err(Resolve::Registry)
        })
        .map_err(|error| match error {
            Resolve::Registry(error) => error,
            Resolve::Document(source) => self.bad(source),
        })
    }

    /// The config that `manifest` names.
    pub(super) fn config(&self, manifest: &Manifest) -> Result<Config, Error> {
        let descriptor = &manifest.config;
        let digest = descriptor.digest().map_err(|e| self.bad(e))?;
        if descriptor.size > LARGEST_DOCUMENT {
            return Err(Error::Size);
        }
        let bytes = self
            .runtime
            .block_on(download::small(self.blob(descriptor)))?;
        check(&digest, &bytes)?;
        Config::parse(&bytes, manifest.layers.len()).map_err(|e| self.bad(e))
    }

    /// Fetches the layers of `manifest` into the cache, several at a time.
    pub(super) fn layers(
        &self,
        cache: &Cache,
        manifest: &Manifest,
        config: &Config,
        progress: &dyn Progress,
    ) -> Result<Vec<Layer>, Error> {
        let sizes = manifest.layers.iter().map(|layer| layer.size);
        if sizes.fold(0, u64::saturating_add) > LARGEST_IMAGE {
            return Err(Error::Size);
        }
        progress.event(Event::Phase("fetching the layers"));
        self.fetch(cache, &manifest.layers, progress)?;
        manifest
            .layers
            .iter()
            .zip(&config.diff_ids)
            .map(|(descriptor, diff_id)| {
                let digest = descriptor.digest().map_err(|e| self.bad(e))?;
                let path = cache.path(KIND, &digest.file_name()).join("blob");
                Ok(Layer {
                    diff_id: diff_id.clone(),
                    open: Box::new(move || {
                        let file: Box<dyn std::io::Read> = Box::new(std::fs::File::open(&path)?);
                        Ok(file)
                    }),
                })
            })
            .collect()
    }

    fn fetch(
        &self,
        cache: &Cache,
        layers: &[Descriptor],
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let meter = Meter::new(layers, progress);
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let work = || -> Result<(), Error> {
            while !failed.load(Ordering::Relaxed) {
                let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                self.fetch_one(cache, layer, &meter)
                    .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..PARALLEL.min(layers.len()))
                .map(|_| scope.spawn(work))
                .collect();
            workers
                .into_iter()
                .map(|worker| {
                    worker
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .fold(Ok(()), Result::and)
        })
    }

    fn fetch_one(&self, cache: &Cache, layer: &Descriptor, meter: &Meter<'_>) -> Result<(), Error> {
        let digest = layer.digest().map_err(|e| self.bad(e))?;
        let name = digest.file_name();
        if cache.find(KIND, &name).is_some() {
            meter.add(layer.size);
            return Ok(());
        }
        let part = cache.path(KIND, &format!(".{name}.part"));
        cache.ensure(KIND, &name, |draft| {
            let fetch = download::to_file(self.blob(layer), &digest, layer.size, &part, meter);
            self.runtime.block_on(fetch)?;
            let blob = draft.join("blob");
            std::fs::rename(&part, &blob)
                .map_err(|source| Error::from(cache::Error::Io { path: blob, source }))
        })?;
        Ok(())
    }

    fn blob<'b>(&'b self, descriptor: &'b Descriptor) -> download::Blob<'b> {
        download::Blob {
            http: &self.http,
            digest: &descriptor.digest,
        }
    }

    fn document(&self, name: &str) -> Result<Vec<u8>, Error> {
        use oci_client::manifest as media;
        let forms = [
            media::OCI_IMAGE_INDEX_MEDIA_TYPE,
            media::OCI_IMAGE_MEDIA_TYPE,
            media::IMAGE_MANIFEST_LIST_MEDIA_TYPE,
            media::IMAGE_MANIFEST_MEDIA_TYPE,
        ];
        self.runtime.block_on(self.http.manifest(name, &forms))
    }

    fn bad(&self, source: impl Into<manifest::Error>) -> Error {
        Error::Document {
            image: self.reference.to_string(),
            source: source.into(),
        }
    }
}

/// Takes layer `number`, from 1, out of the cache: it was damaged after it came, or came so.
pub(super) fn forget(cache: &Cache, manifest: &Manifest, number: usize) {
    let layer = number
        .checked_sub(1)
        .and_then(|index| manifest.layers.get(index));
    if let Some(digest) = layer.and_then(|layer| layer.digest().ok()) {
        // If it stays, the next pull fails as this one did, and says so.
        let _ = std::fs::remove_dir_all(cache.path(KIND, &digest.file_name()));
    }
}

/// Either side of [`manifest::resolve`].
enum Resolve {
    Registry(Error),
    Document(manifest::Error),
}

impl From<manifest::Error> for Resolve {
    fn from(source: manifest::Error) -> Self {
        Self::Document(source)
    }
}

/// Turns bytes that arrive on several threads into percentages.
pub(super) struct Meter<'a> {
    progress: &'a dyn Progress,
    total: u64,
    done: AtomicU64,
    shown: AtomicU64,
}

impl<'a> Meter<'a> {
    fn new(layers: &[Descriptor], progress: &'a dyn Progress) -> Self {
        let total = layers
            .iter()
            .map(|layer| layer.size)
            .fold(0, u64::saturating_add);
        Self {
            progress,
            total: total.max(1),
            done: AtomicU64::new(0),
            shown: AtomicU64::new(0),
        }
    }

    pub(super) fn add(&self, bytes: u64) {
        let done = self
            .done
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        let percent = done.min(self.total).saturating_mul(100) / self.total;
        if self.shown.fetch_max(percent, Ordering::Relaxed) < percent {
            self.progress
                .event(Event::Percent(u8::try_from(percent).unwrap_or(100)));
        }
    }
}
