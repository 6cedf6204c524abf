//! Taking away from a helper process what its work does not need.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use crate::spec::Caller;

/// The newest Landlock features we ask for; an older kernel enforces what it knows.
const ABI: ABI = ABI::V6;

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused.
    #[error("the process could not be confined: {what}")]
    Kernel {
        /// What was being done.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The rules could not be set up.
    #[error("the process could not be confined by Landlock")]
    Landlock(#[from] landlock::RulesetError),
    /// The process that should watch over this one is gone.
    #[error("the supervisor ended first")]
    Orphan,
}

impl Error {
    fn doing(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::Kernel {
            what,
            source: errno.into(),
        }
    }
}

/// Dies when `parent` dies, however that happens.
///
/// Call it after every change of user or namespace: the kernel forgets the request then.
pub fn die_with(parent: Pid) -> Result<(), Error> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Error::doing("bind its life to the supervisor's"))?;
    // The parent may have died before the request was made; then there is nobody left to kill us.
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(Error::Orphan)
    }
}

/// No core files: they would hold the guest's memory or the shared folder's content.
pub fn no_core_files() -> Result<(), Error> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none).map_err(Error::doing("forbid core files"))
}

/// Moves into a user namespace without privileges and into an empty network namespace.
///
/// There is then no network to use, not even loopback, and no other user to become. Some systems forbid user
/// namespaces to ordinary users, or in a chroot; root can still get the empty network there.
pub fn leave_network(caller: Caller) -> Result<(), Error> {
    let isolated =
        UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    match unshare(isolated) {
        Ok(()) => map_caller(caller),
        Err(_) => unshare(UnshareFlags::NEWNET | UnshareFlags::NEWIPC)
            .map_err(Error::doing("leave the network")),
    }
}

/// Gives this process, which must have one thread, a view of its own of what is mounted where, and the right to change
/// it. For anybody but root that takes a user namespace; in it, the user keeps its number.
pub fn own_mounts() -> io::Result<()> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if user.is_root() {
        return Ok(unshare(UnshareFlags::NEWNS)?);
    }
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
    let write = |file: &str, text: String| std::fs::write(format!("/proc/self/{file}"), text);
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{0} {0} 1", user.as_raw()))?;
    write("gid_map", format!("{0} {0} 1", group.as_raw()))
}

fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: none of the flags is FILES, the only one that can close a descriptor under a thread.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Names the caller's user inside the namespace. Not 0: the next program then starts without capabilities.
fn map_caller(caller: Caller) -> Result<(), Error> {
    let write = |file: &str, text: String| {
        std::fs::write(format!("/proc/self/{file}"), text).map_err(|source| Error::Kernel {
            what: "map its user",
            source,
        })
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("1000 {} 1", caller.uid))?;
    write("gid_map", format!("1000 {} 1", caller.gid))
}

/// Gives up every capability, for good: a program started afterwards gains none back, because
/// [`only_files`] has also forbidden new privileges. Matters for root where there are no namespaces.
pub fn no_capabilities() -> Result<(), Error> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(Error::doing("give up capabilities"))
}

/// Which files a process may use.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Readable and executable, with all below.
    pub read: Vec<PathBuf>,
    /// Readable, writable and removable, with all below; devices may be controlled.
    pub write: Vec<PathBuf>,
}

/// Whether the kernel enforces what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforced {
    /// At least the file rules.
    Yes,
    /// The kernel has no Landlock, or it is turned off.
    No,
}

/// Confines this process, and all it starts, to `files`, without TCP and without signals to others.
pub fn only_files(files: &Files) -> Result<Enforced, Error> {
    let read = AccessFs::from_read(ABI);
    let write = AccessFs::from_all(ABI);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(write)?
        .handle_access(AccessNet::from_all(ABI))?
        .scope(Scope::from_all(ABI))?
        .create()?
        .add_rules(path_beneath_rules(&files.read, read))?
        .add_rules(path_beneath_rules(&files.write, write))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Enforced::Yes,
        RulesetStatus::NotEnforced => Enforced::No,
    })
}
