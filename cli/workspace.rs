//! Folders that a sandbox shares, as they are written on the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::report::Failure;
use crate::state::Paths;

/// A folder that the guest sees at the same path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Workspace {
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) read_only: bool,
}

/// `PATH` or `PATH:ro`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkspaceArg {
    path: PathBuf,
    read_only: bool,
}

impl FromStr for WorkspaceArg {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, read_only) = match text.strip_suffix(":ro") {
            Some(path) => (path, true),
            None => (text, false),
        };
        Ok(Self {
            path: PathBuf::from(path),
            read_only,
        })
    }
}

impl WorkspaceArg {
    /// The current folder, which is what `run` shares unless told otherwise.
    pub(crate) fn current() -> Self {
        Self {
            path: PathBuf::from("."),
            read_only: false,
        }
    }

    /// Finds the folder. Its path inside is the canonical one: what the guest writes into a file,
    /// a path in an error message say, then means the same outside.
    pub(crate) fn resolve(&self) -> Result<Workspace, Failure> {
        let shown = self.path.display();
        let path = fs::canonicalize(&self.path).map_err(|error| {
            Failure::doing(format!("cannot share `{shown}`"), &error)
                .help("name a folder that exists and that you can read")
        })?;
        if !path.is_dir() {
            return Err(
                Failure::new(format!("cannot share `{shown}`: it is not a folder"))
                    .help("share a single file with `-v FILE:INSIDE`, beside a folder"),
            );
        }
        if let Some(reason) = unshareable(&path) {
            return Err(
                Failure::new(format!("cannot share `{}`: {reason}", path.display()))
                    .help("share the project's own folder"),
            );
        }
        Ok(Workspace {
            path,
            read_only: self.read_only,
        })
    }
}

/// Folders that the guest has its own of, or that hold what keeps the sandbox closed.
fn unshareable(path: &Path) -> Option<&'static str> {
    const GUESTS_OWN: [&str; 12] = [
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/lib",
        "/lib64",
        "/proc",
        "/run",
        "/sbin",
        "/sys",
        "/usr",
        "/var/lib/docker",
    ];
    if path == Path::new("/") {
        return Some("the guest has a root folder of its own");
    }
    if GUESTS_OWN.iter().any(|own| path.starts_with(own)) {
        return Some("the guest has this folder itself");
    }
    state_in(path)
}

/// What keeps sandboxes closed and is in the folder `path`, or around it. `path` is canonical.
pub(crate) fn state_in(path: &Path) -> Option<&'static str> {
    let paths = Paths::from_env().ok()?;
    let meets = |dir: &Path| {
        let dir = canonical(dir);
        dir.starts_with(path) || path.starts_with(&dir)
    };
    if paths.policies().iter().any(|dir| meets(dir)) {
        Some("it holds the policies that confine the sandbox")
    } else if meets(paths.cache()) {
        Some("it holds the templates that sandboxes are made of")
    } else if meets(paths.sockets()) {
        // Who reaches those may run commands in every sandbox.
        Some("it holds the sockets by which sandboxes are controlled")
    } else {
        None
    }
}

/// The path without links, as far as it exists.
fn canonical(path: &Path) -> PathBuf {
    match (fs::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(path), ..) => path,
        (Err(_), Some(parent), Some(name)) => canonical(parent).join(name),
        (Err(_), ..) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_is_a_suffix() {
        for (text, path, read_only) in [
            ("/a", "/a", false),
            ("/a:ro", "/a", true),
            ("a:b", "a:b", false),
            (".", ".", false),
        ] {
            let parsed: WorkspaceArg = text.parse().unwrap();
            assert_eq!(parsed.path, Path::new(path), "{text}");
            assert_eq!(parsed.read_only, read_only, "{text}");
        }
    }

    #[test]
    fn the_guests_own_folders_are_refused() {
        for path in ["/", "/etc", "/usr/src", "/proc/self"] {
            assert!(unshareable(Path::new(path)).is_some(), "{path}");
        }
        for path in ["/srv/project", "/var/www", "/etcetera", "/opt/x"] {
            assert!(unshareable(Path::new(path)).is_none(), "{path}");
        }
    }
}
