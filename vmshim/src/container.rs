//! The other isolation: an unprivileged OCI container instead of a microVM, for machines without KVM and
//! people in a hurry.
//!
//! What stays the same: no network but the channel to the proxy, the same template, the same guest
//! program as the first process, the same policy. What does not: host and guest share a kernel, so an
//! agent that breaks the kernel is out; and hidden files take `/dev/fuse`.

mod bundle;
mod caps;
mod folders;
mod ids;
mod no_devices;
mod root;
mod set_id;

use std::path::{Path, PathBuf};

pub use bundle::write as write_bundle;
pub use caps::{Caps, Group, Uncapped};
pub use folders::{Mounting, Unserved, can_hide, mount_in};
pub use ids::Ids;
pub use root::{ensure as ensure_root, is_begun as is_root_begun, remove as remove_root};

use crate::tool::{self, Tool};

/// A program that runs OCI bundles, and what it has to be told first.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    tool: Tool,
    /// Options before the command.
    pub options: &'static [&'static str],
}

impl Runtime {
    /// The program's name.
    pub fn program(self) -> &'static str {
        self.tool.program
    }
}

/// Runtimes that can run the bundle, the preferred one first.
const RUNTIMES: [Runtime; 2] = [
    Runtime {
        tool: Tool {
            program: "runc",
            package: "runc",
        },
        options: &[],
    },
    Runtime {
        tool: Tool {
            program: "crun",
            package: "crun",
        },
        // Caps are set before; without this it insists on groups of its own, which only some machines let it have.
        options: &["--cgroup-manager=disabled"],
    },
];

/// The variable that names the runtime to use.
const RUNTIME_VARIABLE: &str = "SANDBOX_RUNTIME";

/// Why there is no container.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is missing or failed.
    #[error(transparent)]
    Tool(#[from] tool::Error),
    /// The user has no other user numbers to lend to the container's users.
    #[error("`{file}` gives this user no {wanted} subordinate ids")]
    NoIds {
        /// The file that was read.
        file: &'static str,
        /// How many it takes.
        wanted: u32,
    },
    /// The variable names no runtime that we know.
    #[error("SANDBOX_RUNTIME is `{0}`")]
    Runtime(String),
    /// Files are hidden by a server, which takes the kernel's FUSE.
    #[error("a container cannot hide files here: `/dev/fuse` cannot be opened")]
    NoFuse {
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The operating system refused something.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Tool(error) => error.help(),
            Self::NoIds { wanted, .. } => Some(format!(
                "as root, run: usermod --add-subuids 100000-{0} --add-subgids 100000-{0} USER",
                100_000 + wanted - 1
            )),
            Self::Runtime(_) => Some("set it to runc or crun, or not at all".to_owned()),
            Self::NoFuse { .. } => Some(
                "as root, run: modprobe fuse && chmod 666 /dev/fuse; or use --isolation microvm, or leave out --hide"
                    .to_owned(),
            ),
            Self::Io { .. } => None,
        }
    }

    fn doing(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// The runtime to use: what `SANDBOX_RUNTIME` names, else the first that is installed.
pub fn runtime() -> Result<Runtime, Error> {
    let named = std::env::var(RUNTIME_VARIABLE).unwrap_or_default();
    let [preferred, _] = RUNTIMES;
    let wanted = match named.as_str() {
        "" => RUNTIMES
            .into_iter()
            .find(|runtime| tool::installed(runtime.program()))
            .unwrap_or(preferred),
        name => RUNTIMES
            .into_iter()
            .find(|runtime| runtime.program() == name)
            .ok_or_else(|| Error::Runtime(named.clone()))?,
    };
    if tool::installed(wanted.program()) {
        return Ok(wanted);
    }
    let (program, package) = (wanted.program().to_owned(), wanted.tool.package);
    Err(tool::Error::Missing { program, package }.into())
}

/// Where a sandbox's container has its root file system, below the sandbox's own folder.
pub fn root_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("rootfs")
}
