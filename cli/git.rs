//! The host's git identity, so that commits made inside are the caller's.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use wire::message::{Place, Seed};

/// `user.name` and `user.email`, as far as they are set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
}

impl Identity {
    /// Asks git for the user's own configuration. The workspace's is left out: it is the agent's to write, and
    /// could include any file of the host.
    pub(crate) fn of_user() -> Self {
        Self {
            name: configured("user.name"),
            email: configured("user.email"),
        }
    }

    /// The system-wide configuration of the guest: weaker than the template's own and the repository's.
    pub(crate) fn seed(&self) -> Option<Seed> {
        let values = [("name", &self.name), ("email", &self.email)];
        let lines: String = values
            .iter()
            .filter_map(|(key, value)| Some(format!("\t{key} = {}\n", quoted(value.as_deref()?))))
            .collect();
        (!lines.is_empty()).then(|| Seed {
            path: "/etc/gitconfig".into(),
            content: format!("[user]\n{lines}"),
            place: Place::Block,
        })
    }
}

/// Without git, or with a value that would not stay one line, there is none.
fn configured(key: &str) -> Option<String> {
    let output = Command::new("git")
        .args(["config", "--global", "--includes", "--get", key])
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let value = String::from_utf8(output.stdout).ok()?;
    let value = value.trim_end_matches('\n');
    let is_usable = output.status.success() && !value.is_empty();
    (is_usable && !value.contains(char::is_control)).then(|| value.to_owned())
}

/// git-config(1): inside quotes, `"` and `\` are escaped.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', r"\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_what_git_reads() {
        let identity = Identity {
            name: Some(r#"Ann "the; # \ agent" O'Neil"#.into()),
            email: Some("ann@example.com".into()),
        };
        let seed = identity.seed().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gitconfig");
        std::fs::write(&file, seed.content).unwrap();
        for (key, value) in [("user.name", identity.name), ("user.email", identity.email)] {
            let output = Command::new("git")
                .arg("config")
                .arg("--file")
                .arg(&file)
                .args(["--get", key])
                .output()
                .unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(Some(said.trim_end_matches('\n')), value.as_deref(), "{key}");
        }
        assert_eq!(Identity::default().seed(), None);
    }
}
