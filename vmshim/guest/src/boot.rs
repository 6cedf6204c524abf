//! From an initramfs to the sandbox's root file system.
//!
//! ```text
//! initramfs:  /init (this program)   /modules/{order,*.ko}   /modules/docker/{order,*.ko}
//! disks:      `template` (erofs, read-only, shared)    `data` (ext4, this sandbox's own)
//! result:     /  = overlay(template, data:/upper)      /var/lib/docker = data:/docker
//! ```

mod disk;
mod modules;
pub(crate) mod netlink;
pub(crate) mod network;
mod root;
mod timer;
mod uptime;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, setrlimit};
use wire::message::Timings;

use crate::seat::Seat;
pub use modules::Modules;
pub use uptime::uptime_ms;

/// Most files a process may open: what container daemons expect to find. Also what init keeps for
/// itself.
const MAX_FILES: u64 = 1 << 20;

/// The machine after [`run`].
#[derive(Debug)]
pub struct Booted {
    /// What it is.
    pub machine: Machine,
    /// What it took.
    pub timings: Timings,
}

/// What process 1 finds itself in.
#[derive(Debug)]
pub enum Machine {
    /// A virtual machine of its own.
    Vm {
        /// The data disk's root directory, which the new root cannot name. Needed to make the disk
        /// read-only at the end.
        data: OwnedFd,
        /// What Docker's networks need of the kernel, until somebody takes it.
        docker: Mutex<Option<Modules>>,
    },
    /// A container, whose root and mounts its runtime has made.
    Container,
}

impl Machine {
    /// What Docker's networks need of the kernel, for the first who asks. Nothing where there is no Docker: containers
    /// have no right to make containers.
    pub(crate) fn docker_modules(&self) -> Option<Option<Modules>> {
        match self {
            Self::Vm { docker, .. } => {
                Some(docker.lock().unwrap_or_else(PoisonError::into_inner).take())
            }
            Self::Container => None,
        }
    }
}

/// A step of the boot that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {source}")]
pub struct BootError {
    step: String,
    source: io::Error,
}

/// Turns an I/O error into the failure of a named step.
trait Step<T> {
    fn step(self, step: impl Into<String>) -> Result<T, BootError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, BootError> {
        self.map_err(|error| BootError {
            step: step.into(),
            source: error.into(),
        })
    }
}

/// Boots. Runs once, as process 1, before any thread exists.
pub fn run() -> Result<Booted, BootError> {
    let mut timings = Timings {
        init_ms: Some(uptime_ms()),
        ..Timings::default()
    };
    root::mount_early()?;
    timer::look()?;
    modules::load_needed()?;
    let docker = Mutex::new(Modules::for_docker());
    timings.modules_ms = Some(uptime_ms());
    let data = root::enter()?;
    network::bring_up_loopback()?;
    let files = Rlimit {
        current: Some(MAX_FILES),
        maximum: Some(MAX_FILES),
    };
    setrlimit(Resource::Nofile, files).step("raise the limit of open files")?;
    timings.root_ms = Some(uptime_ms());
    let machine = Machine::Vm { data, docker };
    Ok(Booted { machine, timings })
}

/// What is left to do in a container.
pub fn adopt() -> Result<(Booted, Seat), BootError> {
    uptime::begin();
    let started = Some(uptime_ms());
    let timings = Timings {
        init_ms: started,
        modules_ms: started,
        root_ms: started,
        ..Timings::default()
    };
    let seat = Seat::take().step("meet the supervisor")?;
    network::bring_up_loopback()?;
    let machine = Machine::Container;
    Ok((Booted { machine, timings }, seat))
}
