//! What is fixed when a sandbox is made, besides its name, its agent and its folders.

use serde::{Deserialize, Serialize};
use vmshim::spec::{Isolation, Publish};

use crate::volume::Volume;

/// Where an agent's credentials come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Credentials {
    /// API keys of your environment, put into requests by the proxy; or log in inside
    #[default]
    Sandbox,
    /// The same, and your ~/.ssh to read inside: trust the agent with it
    Host,
    /// None: log in inside
    None,
}

impl Credentials {
    /// How much of the caller's an agent can use: more, the higher.
    pub(crate) fn reach(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Sandbox => 1,
            Self::Host => 2,
        }
    }
}

/// The choices of `sandbox.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    pub(crate) cpus: u32,
    pub(crate) memory_mib: u32,
    pub(crate) disk_gib: u32,
    #[serde(default)]
    pub(crate) volumes: Vec<Volume>,
    /// Lines of gitignore(5): what the guest must not see of any shared folder.
    #[serde(default)]
    pub(crate) hide: Vec<String>,
    #[serde(default)]
    pub(crate) env: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) credentials: Credentials,
    #[serde(default)]
    pub(crate) publish: Vec<Publish>,
    #[serde(default)]
    pub(crate) isolation: Isolation,
    /// Whether the host's Docker socket is shared.
    #[serde(default)]
    pub(crate) docker_socket: bool,
}

/// One `--hide`: a line of gitignore(5), taken alone.
pub(crate) fn hide_pattern(text: &str) -> Result<String, &'static str> {
    match text {
        "" | "/" => Err("write a file's name or path in the folder, as in `.env` or `secrets/`"),
        _ if text.starts_with('!') => Err("what is hidden stays hidden: `!` has no place here"),
        _ if text.starts_with('#') => Err("write `\\#` for a name that begins with `#`"),
        _ if text.contains(['\n', '\0']) => Err("a file's name has no line breaks here"),
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_hide_nothing_or_unhide_are_refused() {
        for text in ["", "/", "!.env", "#x", "a\nb"] {
            assert!(hide_pattern(text).is_err(), "{text:?}");
        }
        for text in [".env", "*.pem", "secrets/", "/config/*.key", "**/id_rsa"] {
            assert_eq!(hide_pattern(text).as_deref(), Ok(text));
        }
    }
}
