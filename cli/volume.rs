//! Folders and files that a sandbox sees at another path than the host's.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::report::Failure;
use crate::workspace;

/// `HOST:GUEST`, with `:ro` or `:readonly` if the guest may only read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeArg {
    host: PathBuf,
    guest: PathBuf,
    read_only: bool,
}

/// A folder or a file of the host at a path of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Volume {
    pub(crate) host: PathBuf,
    pub(crate) guest: PathBuf,
    #[serde(default)]
    pub(crate) read_only: bool,
}

/// A text that names no volume.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("write HOST_PATH:SANDBOX_PATH, with `:ro` after it for read-only")]
    Shape,
    #[error(
        "nothing can be shared at `{0}` of the sandbox: it must be absolute and not a part of the system"
    )]
    Guest(String),
}

/// What the guest's own start needs where it is, or writes.
const SYSTEM: [&str; 15] = [
    "/bin",
    "/dev",
    "/etc",
    "/etc/group",
    "/etc/hosts",
    "/etc/passwd",
    "/etc/profile",
    "/etc/resolv.conf",
    "/etc/shadow",
    "/lib",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
];

impl FromStr for VolumeArg {
    type Err = VolumeError;

    fn from_str(text: &str) -> Result<Self, VolumeError> {
        let (paths, read_only) = match text.rsplit_once(':') {
            Some((paths, "ro" | "readonly")) => (paths, true),
            Some((paths, "rw")) => (paths, false),
            _ => (text, false),
        };
        let (host, guest) = paths.split_once(':').ok_or(VolumeError::Shape)?;
        if host.is_empty() || guest.contains(':') {
            return Err(VolumeError::Shape);
        }
        let guest = PathBuf::from(guest);
        if !can_be_given(&guest) {
            return Err(VolumeError::Guest(guest.display().to_string()));
        }
        Ok(Self {
            host: host.into(),
            guest,
            read_only,
        })
    }
}

/// Whether anything may be laid over this path of the guest.
fn can_be_given(guest: &Path) -> bool {
    let plain = guest
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    guest.is_absolute()
        && plain
        && guest != Path::new("/")
        && !SYSTEM.map(Path::new).contains(&guest)
        && !["/dev", "/proc", "/sys", "/run/sandbox"]
            .iter()
            .any(|own| guest.starts_with(own))
}

impl VolumeArg {
    /// Finds the folder or file.
    pub(crate) fn resolve(&self) -> Result<Volume, Failure> {
        let shown = self.host.display();
        let host = fs::canonicalize(&self.host).map_err(|error| {
            Failure::doing(format!("cannot share `{shown}`"), &error)
                .help("name a folder or file that exists and that you can read")
        })?;
        if !host.is_dir() && !host.is_file() {
            return Err(Failure::new(format!(
                "cannot share `{shown}`: it is neither a folder nor an ordinary file"
            ))
            .help("sockets, pipes and devices stay on this machine"));
        }
        if let Some(reason) = workspace::state_in(&host) {
            return Err(Failure::new(format!("cannot share `{shown}`: {reason}"))
                .help("share a folder of its own"));
        }
        Ok(Volume {
            host,
            guest: self.guest.clone(),
            read_only: self.read_only,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        let guest = |path: &str| Err(VolumeError::Guest(path.to_owned()));
        for (text, wanted) in [
            ("/a:/b", Ok(("/a", "/b", false))),
            ("a:/b:ro", Ok(("a", "/b", true))),
            ("a:/b:readonly", Ok(("a", "/b", true))),
            ("a:/b:rw", Ok(("a", "/b", false))),
            (
                "~/c:/root/.cache/pip",
                Ok(("~/c", "/root/.cache/pip", false)),
            ),
            ("/a", Err(VolumeError::Shape)),
            ("/a:ro", Err(VolumeError::Shape)),
            (":/b", Err(VolumeError::Shape)),
            ("a:/b:/c", Err(VolumeError::Shape)),
            ("a:b", guest("b")),
            ("a:/", guest("/")),
            ("a:/proc/self", guest("/proc/self")),
            ("a:/usr", guest("/usr")),
            ("a:/etc/hosts", guest("/etc/hosts")),
            ("a:/etc/app.conf", Ok(("a", "/etc/app.conf", false))),
            ("a:/x/../usr", guest("/x/../usr")),
        ] {
            let parsed = text.parse::<VolumeArg>();
            let wanted = wanted.map(|(host, guest, read_only)| VolumeArg {
                host: host.into(),
                guest: guest.into(),
                read_only,
            });
            assert_eq!(parsed, wanted, "{text:?}");
        }
    }
}
