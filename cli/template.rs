//! Where a sandbox's root file system comes from.

use std::path::{Path, PathBuf};

use vmshim::cache::Cache;
use vmshim::image::oci::{self, Auth, PullPolicy, Reference};
use vmshim::image::{self, Recipe, Sources};

use crate::args::{PullTemplate, TemplateOptions};
use crate::progress::Progress;
use crate::report::{Failure, USAGE};

/// A template, chosen and not yet there.
#[derive(Debug)]
pub(crate) enum Template {
    /// Built on this machine from the distribution's packages.
    Recipe(Recipe),
    /// An image of a registry.
    Pulled(Box<Reference>, PullPolicy),
    /// An image of the local Docker, Podman or containerd.
    Local(String),
    /// What `docker save` or `skopeo copy` wrote: an archive, or a folder in OCI layout.
    Saved(PathBuf),
}

impl Template {
    /// The template called `name`, or the agent's own.
    pub(crate) fn choose(own: &str, options: &TemplateOptions) -> Result<Self, Failure> {
        let name = options.template.as_deref().unwrap_or(own);
        if options.load_local_template {
            return Ok(Self::Local(name.to_owned()));
        }
        if let Ok(recipe) = Recipe::named(name) {
            return Ok(Self::Recipe(recipe));
        }
        // As for Docker's commands, a path is what looks like one; anything else is an image's name.
        if name.starts_with(['/', '.', '~']) {
            return Ok(Self::Saved(PathBuf::from(name)));
        }
        let reference: Reference = name.parse().map_err(|error: oci::ReferenceError| {
            let help = error.help();
            Failure::of(&error).maybe_help(help).code(USAGE)
        })?;
        let policy = match options.pull_template {
            PullTemplate::Always => PullPolicy::Always,
            PullTemplate::Missing => PullPolicy::Missing,
            PullTemplate::Never => PullPolicy::Never,
        };
        Ok(Self::Pulled(Box::new(reference), policy))
    }

    /// Builds or fetches it unless it is cached.
    pub(crate) fn ensure(&self, cache: &Cache, progress: &Progress) -> Result<Made, Failure> {
        let image = match self {
            Self::Recipe(recipe) => return build(cache, recipe, progress),
            Self::Pulled(reference, policy) => {
                oci::ensure(cache, reference, *policy, &Auth::of_user(), progress)
            }
            Self::Local(name) => oci::import_local(cache, name, progress),
            Self::Saved(path) if path.is_dir() => oci::import_layout(cache, path, progress),
            Self::Saved(path) => oci::import_archive(cache, path, progress),
        };
        image.map(Made::from).map_err(|error| {
            let help = error.help();
            Failure::of(&error).maybe_help(help)
        })
    }

    /// The name under which an image called `name` is cached.
    pub(crate) fn full_name(name: &str) -> String {
        let reference = name.parse::<Reference>();
        reference.map_or_else(|_| name.to_owned(), |reference| reference.to_string())
    }

    /// What `inspect` shows.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Recipe(recipe) => recipe.name(),
            Self::Pulled(reference, _) => reference.to_string(),
            Self::Local(name) => name.clone(),
            Self::Saved(path) => path.display().to_string(),
        }
    }
}

/// A template that is there.
#[derive(Debug)]
pub(crate) struct Made {
    /// The root disk.
    pub(crate) root: PathBuf,
    /// Variables that its programs expect.
    pub(crate) env: Vec<(String, String)>,
}

impl From<oci::Template> for Made {
    fn from(template: oci::Template) -> Self {
        // Whose home and which machine it is, the guest knows better.
        let is_ours = |key: &str| matches!(key, "HOME" | "HOSTNAME" | "USER" | "TERM");
        let env = template.config.env.iter();
        let env = env.filter_map(|pair| pair.split_once('='));
        Self {
            root: template.root,
            env: env
                .filter(|(key, _)| !key.is_empty() && !is_ours(key))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

fn build(cache: &Cache, recipe: &Recipe, progress: &Progress) -> Result<Made, Failure> {
    let built = Sources::read(Path::new("/"))
        .and_then(|sources| image::ensure(cache, recipe, &sources, progress));
    let env = Vec::new();
    built.map(|root| Made { root, env }).map_err(|error| {
        let help = error.help();
        Failure::of(&error).maybe_help(help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_means() {
        let choose = |name: Option<&str>, load_local_template| {
            let options = TemplateOptions {
                template: name.map(str::to_owned),
                pull_template: PullTemplate::Missing,
                load_local_template,
            };
            Template::choose("shell", &options)
        };
        for (name, local, kind) in [
            (None, false, "Recipe"),
            (Some("shell"), false, "Recipe"),
            (Some("python:3-slim"), false, "Pulled"),
            (Some("localhost:5000/x/y:v1"), false, "Pulled"),
            (Some("my-template:v1"), true, "Local"),
            (Some("./saved.tar"), false, "Saved"),
        ] {
            let chosen = format!("{:?}", choose(name, local).unwrap());
            assert!(chosen.starts_with(kind), "{name:?}: {chosen}");
        }
        assert!(choose(Some("Not A Name"), false).is_err());
    }
}
