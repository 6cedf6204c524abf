//! The guest's kernel: where one comes from, and the initial file system that goes with it.
//!
//! A kernel in the cache is a directory `kernels/<release>-<modules>` with three things: `kernel` (an uncompressed
//! ELF where the package's image could be unpacked, else the image as it was), `modules/*.ko` (uncompressed) and
//! `modules/order` (one file name a line, dependencies first).

use std::path::{Path, PathBuf};

use crate::cache::{self, Cache};
use crate::progress::{Event, Progress};
use crate::tool;

mod bzimage;
mod initramfs;
mod modules;
mod package;
mod tree;

pub use initramfs::{Init, initramfs};
use tree::Tree;

/// The cache folder for kernels.
const KIND: &str = "kernels";

/// Whether a kernel was prepared before.
pub fn is_cached(cache: &Cache) -> bool {
    !cache.names(KIND).is_empty()
}

/// Why there is no kernel to boot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configured folder, or an unpacked package, is not laid out as one.
    #[error("`{}` holds no kernel that a sandbox can boot: {missing}", root.display())]
    Unusable {
        /// The folder that was looked at.
        root: PathBuf,
        /// What it lacks.
        missing: String,
    },
    /// The distribution's package lists name no kernel package that we know.
    #[error("no kernel package is known to apt on this machine")]
    NoPackage,
    /// Packages come from apt only on Debian and its relatives.
    #[error("no kernel was found and this machine has no `apt-get` to download one")]
    NoApt,
    /// The package could not be downloaded.
    #[error("the kernel package could not be downloaded")]
    Download(#[source] tool::Error),
    /// A program that prepares the kernel failed.
    #[error(transparent)]
    Tool(#[from] tool::Error),
    /// The cache could not be written.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// A file of the kernel could not be read or written.
    #[error("`{}` could not be read or written", path.display())]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unusable { .. } => Some(
                "point to a folder with `boot/vmlinuz-RELEASE` and `lib/modules/RELEASE`"
                    .to_owned(),
            ),
            Self::NoPackage => Some("run `apt-get update` and try again".to_owned()),
            Self::NoApt => Some(
                "unpack a kernel package of your distribution and configure its folder".to_owned(),
            ),
            Self::Download(_) => {
                Some("check the network connection and the sources of apt".to_owned())
            }
            Self::Tool(error) => error.help(),
            Self::Cache(error) => error.help(),
            Self::Io { .. } => None,
        }
    }

    fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A kernel in the cache, ready to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    dir: PathBuf,
}

impl Kernel {
    /// The image to hand to the VMM.
    pub fn image(&self) -> PathBuf {
        self.dir.join("kernel")
    }

    /// The folder of modules, with their load order in `order`.
    pub fn modules(&self) -> PathBuf {
        self.dir.join("modules")
    }
}

/// Finds a kernel, in this order: `configured`, the cache, the host's own, the distribution's package.
///
/// `configured` is a folder laid out like an unpacked kernel package. What is found outside the cache is copied
/// into it, so that a later upgrade of the host changes nothing here.
pub fn ensure(
    cache: &Cache,
    configured: Option<&Path>,
    progress: &dyn Progress,
) -> Result<Kernel, Error> {
    if let Some(root) = configured {
        return import(cache, &Tree::only(root)?);
    }
    if let Some(kernel) = cached(cache) {
        return Ok(kernel);
    }
    if let Some(tree) = Tree::host() {
        progress.event(Event::Phase("using the kernel of this machine"));
        return import(cache, &tree);
    }
    let unpacked = package::unpack(progress)?;
    progress.event(Event::Phase("preparing the kernel"));
    import(cache, &Tree::only(unpacked.path())?)
}

/// The newest kernel in the cache that has the modules wanted today.
fn cached(cache: &Cache) -> Option<Kernel> {
    let suffix = modules::set_id();
    let names = cache.names(KIND);
    let newest = names.iter().rev().find(|name| name.ends_with(&suffix))?;
    cache.find(KIND, newest).map(|dir| Kernel { dir })
}

fn import(cache: &Cache, tree: &Tree) -> Result<Kernel, Error> {
    let name = format!("{}-{}", tree.release(), modules::set_id());
    let dir = cache.ensure(KIND, &name, |draft| {
        tree.copy_image(&draft.join("kernel"))?;
        tree.copy_modules(&draft.join("modules"))
    })?;
    Ok(Kernel { dir })
}
