//! What the host has changed in a shared folder.

use serde::{Deserialize, Serialize};

/// The group of requests to the folder server that are pretence. virtiofs has no message "this file was changed by
/// the host", and what a program inside hears of by inotify(7) is only what the guest's own kernel does. So the guest's
/// init makes the kernel do it, as this group, and the server does not: it answers with what is there.
///
/// No account has it: numbers from 65000 to 65533 are given to nobody (Debian Policy 9.2.2), and a container, which has
/// 65536 of them, has this one too.
pub const PRETENCE: u32 = 65_533;

/// One file or folder that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Absolute path in the guest.
    pub path: String,
    /// What has become of it.
    pub deed: Deed,
}

/// What has become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It has another content.
    Modified,
    /// It is new, or has taken the place of another.
    Appeared(Kind),
    /// It is not there any more.
    Gone,
}

/// What a new file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
}
