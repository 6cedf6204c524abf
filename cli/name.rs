//! The name of a sandbox.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Letters, digits, `-`, `_`, `.` and `+`, beginning with a letter or a digit; at most 63 bytes.
///
/// It becomes a directory's name and the guest's host name, and never more than one path component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct SandboxName(String);

/// Long enough for any project, short enough for a host name (RFC 1035 §2.3.4).
const MAX: usize = 63;

impl SandboxName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// `<agent>-<folder>`, as Docker names them; what no name may hold becomes `-`.
    pub(crate) fn derive(agent: &str, workspace: &Path) -> Result<Self, NameError> {
        let folder = workspace
            .file_name()
            .map_or_else(|| "root".into(), |name| name.to_string_lossy());
        let tail: String = folder
            .chars()
            .map(|c| if is_allowed(c) { c } else { '-' })
            .collect();
        let tail = match tail.trim_matches(['-', '.']) {
            "" => "workspace",
            tail => tail,
        };
        let name: String = format!("{agent}-{tail}").chars().take(MAX).collect();
        name.trim_end_matches('-').parse()
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.+".contains(c)
}

/// A text that names no sandbox.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("a sandbox's name has 1 to {MAX} characters")]
    Length,
    #[error(
        "`{0}` is no name for a sandbox: use letters, digits and `-_.+`, and begin with a letter or a digit"
    )]
    Characters(String),
}

impl FromStr for SandboxName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > MAX {
            return Err(NameError::Length);
        }
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts_well || !text.chars().all(is_allowed) {
            return Err(NameError::Characters(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SandboxName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<SandboxName> for String {
    fn from(name: SandboxName) -> Self {
        name.0
    }
}

impl fmt::Display for SandboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "x".repeat(64);
        for (text, good) in [
            ("claude-project", true),
            ("a.b_c+d-1", true),
            ("9", true),
            ("", false),
            ("..", false),
            (".hidden", false),
            ("-flag", false),
            ("a/b", false),
            ("a b", false),
            ("a\0b", false),
            ("ä", false),
            (long.as_str(), false),
        ] {
            assert_eq!(text.parse::<SandboxName>().is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn derived_names() {
        let long = format!("/w/{}", "y".repeat(100));
        for (agent, workspace, name) in [
            ("shell", "/home/me/project", "shell-project"),
            ("shell", "/home/me/my project (2)", "shell-my-project--2"),
            ("claude", "/", "claude-root"),
            ("claude", "/srv/.config", "claude-config"),
            ("claude", "/srv/日本", "claude-workspace"),
        ] {
            let derived = SandboxName::derive(agent, Path::new(workspace)).unwrap();
            assert_eq!(derived.as_str(), name, "{workspace}");
        }
        let cut = SandboxName::derive("shell", Path::new(&long)).unwrap();
        assert_eq!(cut.as_str().len(), MAX);
    }
}
