//! Serves one folder of the host to the guest, in a process that can see nothing else: by virtiofs to a microVM, by FUSE
//! to a container from which something of it is hidden.
//!
//! Four fences, from inside out: rules of our own before every request; the virtiofsd library, which follows no
//! symbolic link; Landlock or a mount namespace (usually both) with nothing outside the folder; seccomp without the system calls
//! that are not used.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};
use vhost::vhost_user::Listener;
use virtiofsd::filesystem::FileSystem;
use virtiofsd::limits::setup_rlimit_nofile;
use virtiofsd::passthrough::read_only::PassthroughFsRo;
use virtiofsd::passthrough::{self, CachePolicy, InodeFileHandlesMode, PassthroughFs};
use virtiofsd::sandbox::{Sandbox, SandboxMode};
use virtiofsd::seccomp::{SeccompAction, enable_seccomp};
use virtiofsd::soft_idmap::cmdline::IdMap;

mod answer;
mod bound;
mod device;
mod echo;
mod gone;
mod guard;
mod hidden;
mod listing;
mod single;
mod virtio;

use crate::confine::{self, Enforced, Files};
use crate::spec::Caller;
use bound::Bound;
use echo::Echo;
pub(crate) use echo::RECORD;
use gone::Gone;
use guard::Guard;
pub use hidden::Hidden;

/// What the guest's user `agent` is called by number.
const AGENT: u32 = 1000;

/// How long the guest may believe what it read: an edit on the host is seen within a second.
const FRESH: Duration = Duration::from_secs(1);

/// Descriptors for the guest's inodes and files; a guest that opens more gets ENFILE. One tree of a large project
/// takes a descriptor for each file that the guest's cache remembers.
const MOST_FILES: u64 = 1_000_000;

/// Descriptors that the server itself needs.
const OWN_FILES: u64 = 64;

/// What a server process is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareArgs {
    /// The supervisor.
    pub parent: i32,
    /// The folder.
    pub dir: PathBuf,
    /// The one file to serve, in place of what is in the folder.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// Files that the guest must not see, as lines of gitignore(5).
    #[serde(default)]
    pub hide: Vec<String>,
    /// The user that the guest's users act as.
    pub caller: Caller,
    /// How the process is fenced in.
    pub fence: Fence,
    /// Who asks.
    #[serde(default)]
    pub asker: Asker,
}

/// Who asks a server for files, over its standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asker {
    /// A VMM, which connects to the listening socket there.
    #[default]
    Vmm,
    /// This machine's kernel, over a FUSE device that is mounted already.
    Kernel,
}

/// How a server process is fenced in, besides seccomp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fence {
    /// By a mount namespace that has only the folder, and by Landlock where the kernel has it.
    Namespace,
    /// By Landlock, for systems that forbid namespaces to users.
    Landlock,
}

/// Why a folder is not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing would keep a hostile guest inside the folder.
    #[error("`{}` can't be shared safely: the kernel has neither user namespaces nor Landlock", dir.display())]
    Unfenced {
        /// The folder.
        dir: PathBuf,
    },
    /// The mount namespace could not be set up.
    #[error("no namespace for the shared folder: {0}")]
    Namespace(#[source] virtiofsd::sandbox::Error),
    /// A file can't be served without the rest of its folder.
    #[error("`{}` can't be shared without its folder", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The process could not be confined.
    #[error(transparent)]
    Confine(#[from] confine::Error),
    /// The folder could not be opened.
    #[error("`{}` can't be shared", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A pattern of hidden files can't be understood, so nothing is served.
    #[error("the files to hide can't be told")]
    Hide(#[from] ignore::Error),
    /// Something else was in the way.
    #[error("the server of a shared folder failed: {0}")]
    Server(String),
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unfenced { .. } => Some(
                "use Linux 5.13 or later with Landlock, or allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`)"
                    .to_owned(),
            ),
            Self::File { .. } => {
                Some("that takes user namespaces; or share its folder, or copy it into the workspace".to_owned())
            }
            _ => None,
        }
    }

    fn server(what: impl std::fmt::Debug) -> Self {
        Self::Server(format!("{what:?}"))
    }
}

/// Serves until the VMM hangs up, or the file system is unmounted. See [`Asker`] for what standard input is.
///
/// Writes one line to standard output when the fences stand, so that the supervisor can try another when they don't.
pub fn serve(args: &ShareArgs) -> Result<(), Error> {
    let parent = Pid::from_raw(args.parent).ok_or(confine::Error::Orphan)?;
    if let Some(file) = &args.file {
        single::only(file, &args.dir)?;
    }
    confine::die_with(parent)?;
    let hidden = match args.hide.as_slice() {
        [] => None,
        patterns => Some(Arc::new(Hidden::new(patterns)?)),
    };
    let limit = setup_rlimit_nofile(Some(most_files()?)).map_err(Error::server)?;
    let (listener, config) = enter(args)?;
    let files = limit.saturating_sub(OWN_FILES);
    let config = passthrough::Config {
        guest_fd_limit: files,
        ..config
    };
    let bound = Bound::new(args.file.as_ref().unwrap_or(&args.dir).clone(), files);
    announce().map_err(Error::server)?;
    let opened = |source| Error::Folder {
        dir: args.dir.clone(),
        source,
    };
    if args.read_only {
        let fs = PassthroughFsRo::new(config).map_err(opened)?;
        run(guard(fs, hidden, bound), args.asker, listener)
    } else {
        let fs = PassthroughFs::new(config).map_err(opened)?;
        run(guard(fs, hidden, bound), args.asker, listener)
    }
}

/// The wanted limit, or the hard limit when that is lower and we may not raise it.
fn most_files() -> Result<u64, Error> {
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let most = hard.map_or(MOST_FILES, |hard| hard.min(MOST_FILES));
    if most > 2 * OWN_FILES {
        Ok(most)
    } else {
        Err(Error::server("too few open files allowed"))
    }
}

/// Puts up the fences, outermost first.
fn enter(args: &ShareArgs) -> Result<(Listener, passthrough::Config), Error> {
    let dir = args
        .dir
        .to_str()
        .ok_or_else(|| Error::server("the path is not UTF-8"))?
        .to_owned();
    let mode = match args.fence {
        Fence::Namespace => SandboxMode::Namespace,
        Fence::Landlock => SandboxMode::None,
    };
    let mut sandbox = Sandbox::new(dir, mode, Vec::new(), Vec::new());
    let (alive, held) = rustix::pipe::pipe().map_err(Error::server)?;
    let listener = sandbox.enter(listener()?).map_err(Error::Namespace)?;
    drop(held);
    if args.fence == Fence::Namespace {
        follow_outer(&alive)?;
    }
    let config = config(args, &mut sandbox)?;
    if confine_files(args, &config.root_dir)? == Enforced::No && args.fence == Fence::Landlock {
        return Err(Error::Unfenced {
            dir: args.dir.clone(),
        });
    }
    drop_capabilities().map_err(Error::server)?;
    enable_seccomp(SeccompAction::Kill, false).map_err(Error::server)?;
    Ok((listener, config))
}

/// In a namespace this is a new process, whose parent is the old one, waiting for it and bound to the supervisor.
///
/// `alive` is a pipe whose other end only the old process still holds.
fn follow_outer(alive: &OwnedFd) -> Result<(), Error> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(Error::server)?;
    // It may have died before the request was made; the parent's number tells nothing across namespaces.
    let mut ends = [rustix::event::PollFd::new(
        alive,
        rustix::event::PollFlags::empty(),
    )];
    let at_once = rustix::event::Timespec::default();
    match rustix::event::poll(&mut ends, Some(&at_once)).map_err(Error::server)? {
        0 => Ok(()),
        _ => Err(confine::Error::Orphan.into()),
    }
}

/// Standard input, in the form in which virtiofsd carries it into its namespaces.
fn listener() -> Result<Listener, Error> {
    Ok(Listener::from(UnixListener::from(stdin()?)))
}

fn stdin() -> Result<OwnedFd, Error> {
    let stdin = io::stdin();
    stdin.as_fd().try_clone_to_owned().map_err(Error::server)
}

fn confine_files(args: &ShareArgs, root: &str) -> Result<Enforced, confine::Error> {
    let root = vec![PathBuf::from(root)];
    confine::only_files(&if args.read_only {
        Files {
            read: root,
            write: Vec::new(),
        }
    } else {
        Files {
            read: Vec::new(),
            write: root,
        }
    })
}

/// As root: keeps what it takes to act on other users' files in the folder, and nothing that reaches beyond files.
/// As anybody else: gives up what came with the namespace.
fn drop_capabilities() -> rustix::io::Result<()> {
    let files = CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER | CapabilitySet::FSETID;
    let root = rustix::process::geteuid().is_root();
    let keep = if root { files } else { CapabilitySet::empty() };
    let sets = CapabilitySets {
        effective: keep,
        permitted: keep,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets)
}

fn config(args: &ShareArgs, sandbox: &mut Sandbox) -> Result<passthrough::Config, Error> {
    // Opened before Landlock: without a namespace these are the machine's own.
    let open = |path| File::open(path).map_err(Error::server);
    let descriptors = sandbox.get_proc_self_fd();
    let mounts = sandbox.get_mountinfo_fd();
    Ok(passthrough::Config {
        root_dir: sandbox.get_root_dir(),
        mountinfo_prefix: sandbox.get_mountinfo_prefix().map_err(Error::server)?,
        proc_sfd_rawfd: Some(descriptors.map_or_else(|| open("/proc/self/fd"), Ok)?),
        proc_mountinfo_rawfd: Some(mounts.map_or_else(|| open("/proc/self/mountinfo"), Ok)?),
        cache_policy: CachePolicy::Auto,
        entry_timeout: FRESH,
        attr_timeout: FRESH,
        readdirplus: true,
        xattr: false,
        announce_submounts: false,
        inode_file_handles: InodeFileHandlesMode::Never,
        clean_noatime: true,
        allow_mmap: true,
        uid_map: Some(translation(args.caller.uid)),
        gid_map: Some(translation(args.caller.gid)),
        ..passthrough::Config::default()
    })
}

/// Everybody in the guest acts as the caller; the caller's files look like the agent's own.
fn translation(caller: u32) -> Vec<IdMap> {
    vec![
        IdMap::SquashGuest {
            from_guest: 0,
            to_host: caller,
            count: u32::MAX,
        },
        IdMap::Host {
            from_host: caller,
            to_guest: AGENT,
            count: 1,
        },
    ]
}

#[cfg(test)]
mod tests;

#[expect(
    clippy::print_stdout,
    reason = "a helper's standard output is its channel to the supervisor"
)]
fn announce() -> io::Result<()> {
    use std::io::Write;
    println!("ready");
    io::stdout().flush()
}

fn guard<F>(fs: F, hidden: Option<Arc<Hidden>>, bound: Bound) -> Guard<F> {
    Guard {
        fs,
        hidden,
        echo: Echo::new(),
        gone: Gone::new(),
        bound,
    }
}

fn run<F>(fs: Guard<F>, asker: Asker, mut listener: Listener) -> Result<(), Error>
where
    F: FileSystem<Inode = u64> + Send + Sync + 'static,
{
    match asker {
        Asker::Kernel => device::serve(fs, &stdin()?).map_err(Error::server),
        Asker::Vmm => virtio::serve(fs, &mut listener).map_err(Error::server),
    }
}
