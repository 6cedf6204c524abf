//! Templates from OCI images: out of a registry, a file or folder, or a container engine's store.
//!
//! ```text
//! registry ─ manifest ─ config ─ layers (cached by digest) ─┐
//! layout or `docker save` archive ──────────────────────────┼─ merge ─ erofs image (cached by digest)
//! docker, podman, nerdctl ─ archive ────────────────────────┘
//! ```
//!
//! An image is somebody else's work. Every byte of it is checked against a digest that leads up to the one asked
//! for, or to what the registry said. Its files are merged in memory and go straight into the root disk: none
//! is ever made on the host, so there is nothing to escape from and no privilege is needed to keep owners.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::cache::{self, Cache};
use crate::progress::{Event, Progress};
use crate::tool;

mod archive;
mod auth;
mod digest;
mod download;
mod entry;
mod erofs;
mod export;
mod layer;
mod local;
mod manifest;
mod merge;
mod pack;
mod path;
mod pax;
mod reference;
mod refusal;
mod registry;
mod store;
mod template;
mod tree;

pub use self::archive::Error as ArchiveError;
pub use self::auth::Auth;
pub use self::digest::{BadDigest, Digest, Mismatch};
pub use self::entry::Error as LayerError;
pub use self::export::{Export, write_archive};
pub use self::manifest::{Error as DocumentError, ImageConfig};
pub use self::pack::Error as PackError;
pub use self::reference::{Error as ReferenceError, Reference};
pub use self::refusal::Refusal;
pub use self::registry::Error as RegistryError;
pub(crate) use self::registry::KIND as LAYERS;
#[cfg(test)]
pub(crate) use self::template::plant;
pub use self::template::{Template, name};
pub(crate) use self::template::{forget_names, names};

use self::store::Store;

/// Why there is no template of an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text does not name an image.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Pulling was forbidden and the image was never pulled.
    #[error("there is no template of `{0}` on this machine")]
    NotCached(String),
    /// The registry was of no help.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A file or folder holds no usable image.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The layers did not become a root disk.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// No container engine is installed.
    #[error("no container engine is installed")]
    NoEngine,
    /// No engine has the image.
    #[error("no container engine on this machine has the image `{name}`")]
    NotInEngine {
        /// The name as the person wrote it.
        name: String,
        /// What the first engine said.
        #[source]
        source: Option<tool::Error>,
    },
    /// A container engine failed.
    #[error(transparent)]
    Tool(#[from] tool::Error),
    /// A template in the cache is damaged.
    #[error("`{}` could not be read", path.display())]
    Read {
        /// The template's folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The cache could not be written.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The operating system refused a thread.
    #[error("the download could not be started")]
    Start(#[source] std::io::Error),
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Reference(error) => error.help(),
            Self::NotCached(_) => Some("allow pulling with `--pull-template missing`".to_owned()),
            Self::Registry(error) => error.help(),
            Self::Archive(error) => error.help(),
            Self::Pack(error) => error.help(),
            Self::NoEngine => {
                Some("install `docker.io` or `podman`, or leave the image to be pulled".to_owned())
            }
            Self::NotInEngine { .. } => Some(
                "build or pull it there first; `docker image ls` lists what is there".to_owned(),
            ),
            Self::Read { path, .. } => Some(format!("remove `{}` and try again", path.display())),
            Self::Tool(error) => error.help(),
            Self::Cache(error) => error.help(),
            Self::Start(_) => None,
        }
    }
}

/// When to ask the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time; layers and templates that are cached are not fetched again.
    Always,
    /// Only if the name was never pulled.
    #[default]
    Missing,
    /// Never.
    Never,
}

/// Returns the template of an image, pulling and building it when the policy says so.
///
/// Blocks; may be called from asynchronous code's blocking threads. Callers for the same image wait for each
/// other. After a failure, what was fetched of the layers is kept, and nothing else.
pub fn ensure(
    cache: &Cache,
    reference: &Reference,
    policy: PullPolicy,
    auth: &Auth,
    progress: &dyn Progress,
) -> Result<Template, Error> {
    let name = reference.to_string();
    if policy != PullPolicy::Always
        && let Some(template) = template::recall(cache, &name)
    {
        return Ok(template);
    }
    if policy == PullPolicy::Never {
        return Err(Error::NotCached(name));
    }
    // The client needs a runtime of its own, which must not be made or dropped inside the caller's.
    std::thread::scope(|scope| {
        let work = || pull(cache, reference, auth, progress);
        let worker = std::thread::Builder::new().spawn_scoped(scope, work);
        let worker = worker.map_err(Error::Start)?;
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn pull(
    cache: &Cache,
    reference: &Reference,
    auth: &Auth,
    progress: &dyn Progress,
) -> Result<Template, Error> {
    let name = reference.to_string();
    progress.event(Event::Phase(&format!("pulling {name}")));
    let auth = auth.for_registry(reference.registry(), progress);
    let remote = registry::Remote::new(reference, auth)?;
    let manifest = remote.manifest()?;
    let template = match Template::find(cache, &manifest.digest) {
        Some(template) => template,
        None => {
            let config = remote.config(&manifest)?;
            let layers = || Ok(remote.layers(cache, &manifest, &config, progress)?);
            let cached = manifest.cached_layers();
            let made = Template::ensure(
                cache,
                &manifest.digest,
                &config.image,
                cached,
                layers,
                progress,
            );
            made.inspect_err(|error| {
                if let Error::Pack(PackError::Layer { number, source }) = error
                    && matches!(source, LayerError::Read(_))
                {
                    registry::forget(cache, &manifest, *number);
                }
            })?
        }
    };
    template::remember(cache, &name, &manifest.digest)?;
    Ok(template)
}

/// The images that were pulled and whose templates are there, by name.
pub fn pulled(cache: &Cache) -> Vec<(Reference, Template)> {
    let mut all: Vec<_> = template::notes(cache)
        .into_iter()
        .filter_map(|name| Some((name.parse().ok()?, template::recall(cache, &name)?)))
        .collect();
    all.sort_by_key(|(reference, _): &(Reference, _)| reference.to_string());
    all
}

/// Returns the template of the one image in the archive `path`: `docker save`'s, or a tar of an OCI layout.
pub fn import_archive(
    cache: &Cache,
    path: &Path,
    progress: &dyn Progress,
) -> Result<Template, Error> {
    let file = store::open_file(path).map_err(|source| ArchiveError::Read {
        path: path.to_owned(),
        source,
    })?;
    import_file(cache, path, file, progress)
}

/// Imports the archive `file`; errors call it `name`.
fn import_file(
    cache: &Cache,
    name: &Path,
    file: File,
    progress: &dyn Progress,
) -> Result<Template, Error> {
    progress.event(Event::Phase("reading the archive"));
    let store = Store::archive(file, cache.root()).map_err(|source| ArchiveError::Read {
        path: name.to_owned(),
        source,
    })?;
    import(cache, name, &store, progress)
}

/// Returns the template of the one image in the OCI layout `dir`.
pub fn import_layout(
    cache: &Cache,
    dir: &Path,
    progress: &dyn Progress,
) -> Result<Template, Error> {
    import(cache, dir, &Store::Folder(dir.to_owned()), progress)
}

fn import(
    cache: &Cache,
    path: &Path,
    store: &Store,
    progress: &dyn Progress,
) -> Result<Template, Error> {
    let found = archive::find(path, store)?;
    let layers = || Ok(found.layers);
    Template::ensure(
        cache,
        &found.digest,
        &found.config.image,
        Vec::new(),
        layers,
        progress,
    )
}

/// Returns the template of an image that Docker, Podman or containerd has on this machine.
///
/// An image that was not changed since is not taken again.
pub fn import_local(cache: &Cache, name: &str, progress: &dyn Progress) -> Result<Template, Error> {
    import_from(&local::ENGINES, cache, name, progress)
}

fn import_from(
    engines: &[tool::Tool],
    cache: &Cache,
    name: &str,
    progress: &dyn Progress,
) -> Result<Template, Error> {
    let image = local::find(engines, name)?;
    // The space keeps it apart from every reference.
    let note = format!("local {}", image.id);
    if let Some(template) = template::recall(cache, &note) {
        return Ok(template);
    }
    // Nameless, so that nothing is left behind however this ends.
    let scratch = || {
        std::fs::create_dir_all(cache.root())?;
        let file = tempfile::tempfile_in(cache.root())?;
        Ok((file.try_clone()?, file))
    };
    let (written, file) = scratch().map_err(|source| cache::Error::Io {
        path: cache.root().to_owned(),
        source,
    })?;
    image.save(written, progress)?;
    let template = import_file(cache, Path::new(name), file, progress)?;
    template::remember(cache, &note, &template.digest)?;
    Ok(template)
}

#[cfg(test)]
mod tests;
