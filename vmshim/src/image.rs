//! Root disks: a read-only template shared by all sandboxes, and one writable data disk each.

use std::path::{Path, PathBuf};

use crate::cache::{self, Cache};
use crate::progress::Progress;
use crate::space::Full;
use crate::tool;

mod build;
pub mod disk;
pub mod inventory;
mod npm;
pub mod oci;
mod recipe;
mod sources;

pub use recipe::Recipe;
pub use sources::Sources;

/// The cache folder for templates.
const KIND: &str = "templates";

/// Why there is no template to start from.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No recipe goes by this name.
    #[error("there is no template named `{0}`")]
    UnknownRecipe(String),
    /// The host's apt configuration names nothing to install a guest from.
    #[error("apt on this machine has no package source for its own release `{release}`")]
    NoSources {
        /// The distribution's code name, from os-release(5).
        release: String,
    },
    /// The host's apt configuration could not be read.
    #[error("`{}` could not be read", path.display())]
    Read {
        /// The file concerned.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A program that builds the template is missing or failed.
    #[error(transparent)]
    Tool(#[from] tool::Error),
    /// A package of npm's is made otherwise than the recipe expects.
    #[error("npm's package has no program `{name}` for this machine: `{}` is missing", file.display())]
    NoProgram {
        /// The command.
        name: String,
        /// What it was to be, below npm's prefix.
        file: PathBuf,
    },
    /// There is no room to build it.
    #[error(transparent)]
    Full(#[from] Full),
    /// The cache could not be written.
    #[error(transparent)]
    Cache(#[from] cache::Error),
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::UnknownRecipe(_) => Some(format!(
                "known are: {}; each with Docker as `NAME-docker`",
                Recipe::names().join(", ")
            )),
            Self::NoSources { .. } => {
                Some("add one to `/etc/apt/sources.list.d` and try again".to_owned())
            }
            Self::Read { .. } => None,
            Self::NoProgram { .. } => {
                Some("use an image that has the agent, with `--template`".to_owned())
            }
            Self::Tool(error @ tool::Error::Failed { .. }) => error.help().or_else(|| {
                Some("check free disk space, the network and the sources of apt and npm".to_owned())
            }),
            Self::Tool(error) => error.help(),
            Self::Full(error) => error.help(),
            Self::Cache(error) => error.help(),
        }
    }
}

/// Returns the template for `recipe`, building it from the host's own package sources when it is not cached.
///
/// Takes a minute or two the first time. Builders of the same template wait for each other.
pub fn ensure(
    cache: &Cache,
    recipe: &Recipe,
    sources: &Sources,
    progress: &dyn Progress,
) -> Result<PathBuf, Error> {
    let name = recipe.entry_name(sources);
    let dir = cache.ensure(KIND, &name, |draft| {
        build::template(recipe, sources, draft, progress)
    })?;
    Ok(root_disk(&dir))
}

/// The template's disk image inside its cache folder.
fn root_disk(dir: &Path) -> PathBuf {
    dir.join("root.erofs")
}
