//! Why a sandbox ended, or did not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::engine::accel;
use crate::guest::GuestError;
use crate::{container, lock, spec, tool};

/// Why a sandbox ended, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec can't work.
    #[error(transparent)]
    Spec(#[from] spec::Error),
    /// It runs already.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// KVM was demanded and does not work.
    #[error(transparent)]
    Accel(#[from] accel::Error),
    /// A program is missing.
    #[error(transparent)]
    Tool(#[from] tool::Error),
    /// There is no container.
    #[error(transparent)]
    Container(#[from] container::Error),
    /// A shared folder is not there any more.
    #[error("the shared folder `{}` does not exist", dir.display())]
    NoFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// A shared file is not there any more.
    #[error("the shared file `{}` does not exist", file.display())]
    NoFile {
        /// The file.
        file: PathBuf,
    },
    /// A shared folder is not served.
    #[error("`{}` could not be shared: {said}", dir.display())]
    Share {
        /// The folder.
        dir: PathBuf,
        /// What its server said.
        said: String,
    },
    /// The guest can't do without a shared folder, and its VMM can't be given another server.
    #[error("the server of the shared folder `{}` ended: {said}", dir.display())]
    ShareEnded {
        /// The folder.
        dir: PathBuf,
        /// What the server said, or how it ended.
        said: String,
    },
    /// A port can't be listened on.
    #[error("`{address}` can't be published")]
    Publish {
        /// Where the host was to listen.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The VMM ended while it was needed.
    #[error("the virtual machine ended unexpectedly: {said}")]
    Vmm {
        /// What it said, or how it ended.
        said: String,
        /// Where the guest's last words are.
        console: PathBuf,
    },
    /// The guest started and could not become this sandbox.
    #[error("the guest could not be set up")]
    Guest {
        /// What went wrong between us and it.
        source: Box<GuestError>,
        /// Where the guest's last words are.
        console: PathBuf,
    },
    /// The guest never answered.
    #[error("the guest gave no sign of life for {seconds} seconds")]
    Silent {
        /// How long it was waited for.
        seconds: u64,
        /// Where the guest's last words are.
        console: PathBuf,
    },
    /// The guest's first process is dead while the VM lives on.
    #[error("the guest does not answer any more")]
    Lost {
        /// Where the guest's last words are.
        console: PathBuf,
    },
    /// The operating system refused something.
    #[error("the supervisor could not {what}")]
    Io {
        /// What it was doing.
        what: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Spec(error) => error.help(),
            Self::Lock(error) => error.help(),
            Self::Accel(error) => error.help(),
            Self::Tool(error) => error.help(),
            Self::Container(error) => error.help(),
            Self::Vmm { console, .. }
            | Self::Guest { console, .. }
            | Self::Lost { console }
            | Self::Silent { console, .. } => Some(format!(
                "the guest's last words are in `{}`",
                console.display()
            )),
            Self::NoFolder { .. } | Self::NoFile { .. } => {
                Some("bring it back, or remove the sandbox and create it anew".to_owned())
            }
            Self::Publish { .. } => {
                Some("choose another port, or port 0 to have the system choose".to_owned())
            }
            Self::ShareEnded { .. } => {
                Some("start it again; what was written to the folder is there".to_owned())
            }
            Self::Share { .. } | Self::Io { .. } => None,
        }
    }

    pub(super) fn doing(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
