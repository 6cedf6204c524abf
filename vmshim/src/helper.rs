//! Processes that the supervisor starts: the caller's own program, re-executed with one argument that says what to be.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::confine::{self, Files};
use crate::engine::qemu;
use crate::notes::note;
use crate::share::{self, ShareArgs};
use crate::spec::Caller;

/// What a helper process is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The virtual machine monitor.
    Vmm(VmmArgs),
    /// The server of one shared folder; its listening socket is standard input.
    Share(ShareArgs),
}

/// A virtual machine monitor to become, and what it may touch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VmmArgs {
    /// The supervisor.
    pub parent: i32,
    /// The user that all happens for.
    pub caller: Caller,
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// Files and folders it reads.
    pub read: Vec<PathBuf>,
    /// Files and folders it writes.
    pub write: Vec<PathBuf>,
}

/// Why a helper process ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Called by hand.
    #[error("this command is for the sandbox's own use")]
    Role(#[source] serde_json::Error),
    /// It could not be confined.
    #[error(transparent)]
    Confine(#[from] confine::Error),
    /// QEMU is not on this machine.
    #[error("`{}` is not installed", qemu::PROGRAM)]
    NoVmm,
    /// QEMU could not be started.
    #[error("`{}` could not be started", qemu::PROGRAM)]
    Vmm(#[source] std::io::Error),
    /// The shared folder could not be served.
    #[error(transparent)]
    Share(#[from] share::Error),
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoVmm => Some(format!(
                "install it with `apt-get install {}`",
                qemu::PACKAGE
            )),
            Self::Share(error) => error.help(),
            Self::Role(_) | Self::Confine(_) | Self::Vmm(_) => None,
        }
    }
}

/// The command that becomes `role`. `prefix` is the program and arguments that lead to [`main`].
pub(crate) fn command(prefix: &[OsString], role: &Role) -> std::io::Result<Command> {
    let (program, arguments) = prefix
        .split_first()
        .ok_or_else(|| std::io::Error::other("no helper command"))?;
    let mut command = Command::new(program);
    // The caller's environment holds secrets that only the proxy may see.
    command
        .args(arguments)
        .arg(serde_json::to_string(role)?)
        .env_clear()
        .env(
            "PATH",
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
        );
    Ok(command)
}

/// Becomes what `role`, the argument added by the supervisor, says. Returns when the work is done or on failure.
///
/// Call it first thing in `main`, while the process has one thread.
pub fn main(role: &OsStr) -> Result<(), Error> {
    let role = serde_json::from_str(&role.to_string_lossy()).map_err(Error::Role)?;
    confine::no_core_files()?;
    match role {
        Role::Vmm(args) => Err(become_vmm(args)),
        Role::Share(args) => Ok(share::serve(&args)?),
    }
}

fn become_vmm(args: VmmArgs) -> Error {
    match confine_vmm(&args) {
        Ok(()) => exec(&args.argv),
        Err(error) => error.into(),
    }
}

fn confine_vmm(args: &VmmArgs) -> Result<(), confine::Error> {
    // A new session: keys typed at the caller's terminal are not for the VMM. Fails only for a group leader.
    let _ = rustix::process::setsid();
    if confine::leave_network(args.caller).is_err() {
        note(
            "namespaces are not allowed here, so the VMM is confined by Landlock and seccomp only",
        );
    }
    let files = Files {
        read: args.read.clone(),
        write: args.write.clone(),
    };
    confine::only_files(&files)?;
    confine::no_capabilities()?;
    let parent = Pid::from_raw(args.parent).ok_or(confine::Error::Orphan)?;
    confine::die_with(parent)
}

fn exec(argv: &[OsString]) -> Error {
    let Some((program, arguments)) = argv.split_first() else {
        return Error::NoVmm;
    };
    let error = Command::new(program).args(arguments).exec();
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::NoVmm,
        _ => Error::Vmm(error),
    }
}
