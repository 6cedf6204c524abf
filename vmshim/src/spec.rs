//! Everything a supervisor must know to run one sandbox. The caller prepares it and hands it over as JSON.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::message::Seed;

/// The longest path that a socket can be bound to, in bytes (`sun_path` of unix(7), without its final NUL).
const SOCKET_PATH_MAX: usize = 107;

/// One sandbox, fully prepared: every file named here exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The name that people use.
    pub name: String,
    /// Names this sandbox in short paths; letters and digits.
    pub id: String,
    /// The sandbox's own folder, `~/.docker/sandboxes/vm/<name>`. Holds the lock, the console log.
    pub state_dir: PathBuf,
    /// The folder of sockets, `$XDG_RUNTIME_DIR/sandbox/<id>`. Made at start, removed at the end.
    pub runtime_dir: PathBuf,
    /// The shared cache, where it is remembered that KVM does not work on this machine.
    pub cache_dir: PathBuf,
    /// The kernel image.
    pub kernel: PathBuf,
    /// The initial file system.
    pub initramfs: PathBuf,
    /// The read-only root disk.
    pub template: PathBuf,
    /// The sandbox's writable disk.
    pub data_disk: PathBuf,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory of the guest, in MiB.
    pub memory_mib: u32,
    /// Folders that host and guest share.
    pub shares: Vec<Share>,
    /// Ports of the guest that the host listens for.
    #[serde(default)]
    pub publish: Vec<Publish>,
    /// Files that the guest gets if its template has none of them.
    #[serde(default)]
    pub seeds: Vec<Seed>,
    /// The user on the host that files of the guest belong to.
    pub caller: Caller,
    /// The guest's host name.
    pub hostname: String,
    /// The certificate authority that the guest is to trust, as PEM.
    pub ca_pem: Option<String>,
    /// Environment variables of every program in the guest.
    pub env: Vec<(String, String)>,
    /// What keeps the guest in.
    #[serde(default)]
    pub isolation: Isolation,
    /// How the guest's instructions are carried out.
    pub accel: AccelChoice,
    /// The proxy's program and arguments; it finds the data channel by itself. None runs without a proxy.
    pub proxy_command: Vec<OsString>,
    /// An inherited descriptor that the proxy gets as its standard input, at each start. This process never reads it.
    #[serde(default)]
    pub proxy_input: Option<i32>,
    /// The program and first arguments that end up in [`crate::helper::main`]; one argument is added.
    pub helper_command: Vec<OsString>,
}

/// A folder, or one file, that host and guest share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The folder on the host, absolute and without symbolic links.
    pub host: PathBuf,
    /// Whether `host` is one file and not a folder.
    #[serde(default)]
    pub file: bool,
    /// Where the guest sees it, absolute.
    pub guest: PathBuf,
    /// Whether the guest may only read. Enforced on the host.
    pub read_only: bool,
    /// Files that the guest must not see, as lines of gitignore(5) relative to the folder. Enforced on the host.
    #[serde(default)]
    pub hide: Vec<String>,
}

/// A TCP port of the guest that the host listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Where the host listens; port 0 lets the system choose one.
    pub host: SocketAddr,
    /// The port on the guest's loopback interface.
    pub guest_port: u16,
}

/// A user of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Numeric user.
    pub uid: u32,
    /// Numeric primary group.
    pub gid: u32,
}

impl Caller {
    /// The user that this process acts for.
    pub fn current() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }
}

/// What keeps a guest in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A virtual machine with a kernel of its own.
    #[default]
    MicroVm,
    /// A container: the host's kernel, with a user namespace and no network.
    Container,
}

/// How the guest's instructions are to be carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccelChoice {
    /// By the processor if that works on this machine, else emulated.
    #[default]
    Auto,
    /// By the processor or not at all.
    Kvm,
    /// Emulated.
    Tcg,
}

/// Why a spec can't be run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The runtime folder's path leaves no room for a socket's name.
    #[error("`{}` is too long for a folder of sockets", dir.display())]
    RuntimeDirTooLong {
        /// The folder.
        dir: PathBuf,
    },
    /// A guest can't have fewer processors or less memory than it takes to boot.
    #[error("{what} of {given} is too little for a sandbox")]
    TooSmall {
        /// What is too small.
        what: &'static str,
        /// The value given.
        given: u32,
        /// The least value that works.
        least: u32,
    },
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::RuntimeDirTooLong { .. } => {
                format!(
                    "set XDG_RUNTIME_DIR to a path of at most {} bytes",
                    SOCKET_PATH_MAX - 40
                )
            }
            Self::TooSmall { least, .. } => format!("give at least {least}"),
        })
    }
}

impl Spec {
    /// Checks what can be checked without touching the machine.
    pub fn check(&self) -> Result<(), Error> {
        let longest = self.socket(Socket::Share(self.shares.len()));
        if longest.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(Error::RuntimeDirTooLong {
                dir: self.runtime_dir.clone(),
            });
        }
        for (what, given, least) in [
            ("a processor count", self.cpus, 1),
            ("a memory (MiB)", self.memory_mib, 128),
        ] {
            if given < least {
                return Err(Error::TooSmall { what, given, least });
            }
        }
        Ok(())
    }

    /// The path of one of the sandbox's sockets.
    pub fn socket(&self, socket: Socket) -> PathBuf {
        socket.path(&self.runtime_dir)
    }

    /// The file whose lock says "running".
    pub fn lock(&self) -> PathBuf {
        self.state_dir.join("lock")
    }

    /// What the guest's kernel and init print, bounded.
    pub fn console_log(&self) -> PathBuf {
        self.state_dir.join("console.log")
    }
}

/// The sockets in a runtime folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Callers to the supervisor.
    Control,
    /// The guest's control port.
    GuestControl,
    /// The guest's data port, for the proxy.
    GuestData,
    /// The server of the n-th shared folder.
    Share(usize),
}

impl Socket {
    /// Where this socket is in `runtime_dir`.
    pub fn path(self, runtime_dir: &Path) -> PathBuf {
        match self {
            Self::Control => runtime_dir.join("ctl"),
            Self::GuestControl => runtime_dir.join("con"),
            Self::GuestData => runtime_dir.join("dat"),
            Self::Share(n) => runtime_dir.join(format!("fs{n}")),
        }
    }
}

/// How long a guest may take to end by itself when it is stopped.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A spec whose paths need not exist.
    pub(crate) fn spec() -> Spec {
        Spec {
            name: "demo".into(),
            id: "abc".into(),
            state_dir: "/state".into(),
            runtime_dir: "/run/sandbox/abc".into(),
            cache_dir: "/cache".into(),
            kernel: "/cache/kernel".into(),
            initramfs: "/cache/initramfs".into(),
            template: "/cache/root.erofs".into(),
            data_disk: "/state/data.ext4".into(),
            cpus: 2,
            memory_mib: 1024,
            shares: vec![Share {
                host: "/w".into(),
                file: false,
                guest: "/w".into(),
                read_only: false,
                hide: vec![".env".into()],
            }],
            publish: vec![Publish {
                host: ([127, 0, 0, 1], 8080).into(),
                guest_port: 80,
            }],
            seeds: Vec::new(),
            caller: Caller {
                uid: 1001,
                gid: 100,
            },
            hostname: "demo".into(),
            ca_pem: None,
            env: vec![("A".into(), "b".into())],
            isolation: Isolation::MicroVm,
            accel: AccelChoice::Auto,
            proxy_command: vec!["proxy".into(), "--x".into()],
            proxy_input: None,
            helper_command: vec!["helper".into()],
        }
    }

    #[test]
    fn survives_json() {
        let spec = spec();
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), spec);
    }

    #[test]
    fn check_rows() {
        let long = PathBuf::from(format!("/{}", "d".repeat(105)));
        let rows: [(Spec, Option<&str>); 4] = [
            (spec(), None),
            (
                Spec {
                    runtime_dir: long.clone(),
                    ..spec()
                },
                Some("too long"),
            ),
            (
                Spec { cpus: 0, ..spec() },
                Some("a processor count of 0 is too little"),
            ),
            (
                Spec {
                    memory_mib: 64,
                    ..spec()
                },
                Some("a memory (MiB) of 64 is too little"),
            ),
        ];
        for (spec, wanted) in rows {
            let said = spec.check().err().map(|error| error.to_string());
            match wanted {
                None => assert_eq!(said, None),
                Some(part) => assert!(said.unwrap().contains(part)),
            }
        }
    }
}
