//! What goes into a template.

use sha2::{Digest, Sha256};

use super::npm::Packages;
use super::{Error, Sources};

/// Bump when the way of building changes so that cached templates must be built again.
const GENERATION: u32 = 1;

/// A template built from the distribution's packages and npm's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    name: &'static str,
    packages: &'static [&'static [&'static str]],
    npm: Option<Packages>,
    docker: bool,
}

/// What every guest has.
const BASE: &[&str] = &[
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
];

/// What agents reach for besides.
const TOOLS: &[&str] = &[
    "jq",
    "make",
    "openssh-client",
    "ripgrep",
    "unzip",
    "xz-utils",
];

/// A private Docker daemon with its command line. What is a pattern is a package of its own in some releases only.
const DOCKER: &[&str] = &[
    "docker.io",
    "docker-compose",
    "iptables",
    "?exact-name(docker-buildx)",
    "?exact-name(docker-cli)",
    "?exact-name(docker-compose-v2)",
];

/// What a recipe's name ends with to have [`DOCKER`] besides. Docker's own templates come in these two kinds, too.
const WITH_DOCKER: &str = "-docker";

/// Every recipe that exists, each also with Docker. Each agent comes with Node: the program of one is written for it, and the projects of
/// many need it.
const ALL: [Recipe; 6] = [
    Recipe {
        name: "shell",
        packages: &[BASE],
        npm: None,
        docker: false,
    },
    agent(
        "claude",
        Packages {
            specs: &["@anthropic-ai/claude-code", NODE, "npm@10"],
            links: &[(
                "claude",
                "@anthropic-ai/claude-code/node_modules/@anthropic-ai/claude-code-linux-{cpu}/claude",
            )],
        },
    ),
    agent(
        "codex",
        Packages {
            specs: &["@openai/codex", NODE, "npm@10"],
            // Its launcher is a script for Node that does no more than find this file.
            links: &[(
                "codex",
                "@openai/codex/node_modules/@openai/codex-linux-{cpu}/vendor/{triple}-unknown-linux-musl/bin/codex",
            )],
        },
    ),
    agent(
        "copilot",
        Packages {
            specs: &["@github/copilot", NODE, "npm@10"],
            links: &[],
        },
    ),
    agent(
        "gemini",
        Packages {
            specs: &["@google/gemini-cli", NODE, "npm@10"],
            links: &[],
        },
    ),
    agent(
        "opencode",
        Packages {
            specs: &["opencode-ai", NODE, "npm@10"],
            links: &[("opencode", OPENCODE)],
        },
    ),
];

/// A long-term release, which is a package of its own for each processor.
const NODE: &str = "node-linux-{cpu}@22";

/// The build for processors without AVX2, which emulated ones and old ones are; there is one for x64 only.
#[cfg(target_arch = "x86_64")]
const OPENCODE: &str = "opencode-ai/node_modules/opencode-linux-{cpu}-baseline/bin/opencode";
#[cfg(not(target_arch = "x86_64"))]
const OPENCODE: &str = "opencode-ai/node_modules/opencode-linux-{cpu}/bin/opencode";

const fn agent(name: &'static str, npm: Packages) -> Recipe {
    Recipe {
        name,
        packages: &[BASE, TOOLS],
        npm: Some(npm),
        docker: false,
    }
}

impl Recipe {
    /// The recipe called `name`; with `-docker` behind it, the same with a Docker daemon.
    pub fn named(name: &str) -> Result<Self, Error> {
        let plain = name.strip_suffix(WITH_DOCKER);
        let found = ALL
            .into_iter()
            .find(|recipe| recipe.name == plain.unwrap_or(name));
        let recipe = found.ok_or_else(|| Error::UnknownRecipe(name.to_owned()))?;
        Ok(Self {
            docker: plain.is_some(),
            ..recipe
        })
    }

    /// The names of all recipes.
    pub fn names() -> Vec<&'static str> {
        ALL.iter().map(|recipe| recipe.name).collect()
    }

    /// The name that [`Recipe::named`] knows it by.
    pub fn name(&self) -> String {
        let docker = if self.docker { WITH_DOCKER } else { "" };
        format!("{}{docker}", self.name)
    }

    pub(super) fn packages(&self) -> String {
        let docker = if self.docker { DOCKER } else { &[] };
        [&self.packages.concat(), docker].concat().join(",")
    }

    /// Whether it has a Docker daemon.
    pub(super) fn has_docker(&self) -> bool {
        self.docker
    }

    pub(super) fn npm(&self) -> Option<&Packages> {
        self.npm.as_ref()
    }

    /// The name in the cache: what was asked for, from where, and how it was built.
    pub(super) fn entry_name(&self, sources: &Sources) -> String {
        let mut hash = Sha256::new();
        hash.update(GENERATION.to_le_bytes());
        hash.update(self.packages());
        if let Some(npm) = &self.npm {
            hash.update(format!("{npm:?}"));
        }
        hash.update(super::build::SETUP);
        if self.docker {
            hash.update(super::build::DOCKER_SETUP);
        }
        hash.update(sources.fingerprint());
        let digest = hash.finalize();
        let id: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{}-{id}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_follows_recipe_and_sources() {
        let shell = Recipe::named("shell").unwrap();
        let fewer = Recipe {
            packages: &[&["bash"]],
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
        let docker = Recipe::named("shell-docker").unwrap();
        assert!(docker.entry_name(&here).starts_with("shell-docker-"));
        assert!(docker.packages().starts_with(&shell.packages()));
        assert!(docker.packages().contains(",docker.io,"));
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let error = Recipe::named("nope").unwrap_err();
        assert_eq!(error.to_string(), "there is no template named `nope`");
        assert_eq!(
            error.help().unwrap(),
            "known are: shell, claude, codex, copilot, gemini, opencode; each with Docker as `NAME-docker`"
        );
    }
}
