//! What goes into a template.

use sha2::{Digest, Sha256};

use super::{Error, Sources};

/// Bump when the way of building changes so that cached templates must be built again.
const GENERATION: u32 = 1;

/// A template built from the distribution's packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    name: &'static str,
    packages: &'static [&'static str],
}

/// Every recipe that exists.
const ALL: [Recipe; 1] = [Recipe {
    name: "shell",
    packages: &[
        "bash",
        "ca-certificates",
        "curl",
        "git",
        "iproute2",
        "less",
        "procps",
        "python3",
        "python3-pip",
        "python3-venv",
        "sudo",
    ],
}];

impl Recipe {
    /// The recipe called `name`.
    pub fn named(name: &str) -> Result<Self, Error> {
        ALL.into_iter()
            .find(|recipe| recipe.name == name)
            .ok_or_else(|| Error::UnknownRecipe(name.to_owned()))
    }

    /// The names of all recipes.
    pub fn names() -> Vec<&'static str> {
        ALL.iter().map(|recipe| recipe.name).collect()
    }

    /// The name that [`Recipe::named`] knows it by.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn packages(&self) -> String {
        self.packages.join(",")
    }

    /// The name in the cache: what was asked for, from where, and how it was built.
    pub(super) fn entry_name(&self, sources: &Sources) -> String {
        let mut hash = Sha256::new();
        hash.update(GENERATION.to_le_bytes());
        hash.update(self.packages());
        hash.update(super::build::SETUP);
        hash.update(sources.fingerprint());
        let digest = hash.finalize();
        let id: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{}-{id}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_follows_recipe_and_sources() {
        let shell = Recipe::named("shell").unwrap();
        let fewer = Recipe {
            packages: &["bash"],
            ..shell.clone()
        };
        let here = Sources::for_tests("deb http://one.invalid stable main\n");
        let there = Sources::for_tests("deb http://two.invalid stable main\n");
        let name = shell.entry_name(&here);
        assert!(
            name.starts_with("shell-") && name.len() == "shell-".len() + 16,
            "{name}"
        );
        assert_eq!(name, shell.entry_name(&here.clone()));
        assert_ne!(name, shell.entry_name(&there));
        assert_ne!(name, fewer.entry_name(&here));
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let error = Recipe::named("nope").unwrap_err();
        assert_eq!(error.to_string(), "there is no template named `nope`");
        assert_eq!(error.help().unwrap(), "known are: shell");
    }
}
