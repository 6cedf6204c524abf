//! The messages of the control port: JSON behind a length, at most 1 MiB.
//!
//! Every stream that the host opens on the control port begins with one [`Request`].
//!
//! ```text
//! Request::Boot      ◄ Hello     ► Configure     ◄ Ready | Failed
//! Request::Exec      ◄► frames of `crate::exec`
//! Request::Reach     ◄ Reached, then the bytes of a TCP connection, both ways | Failed
//! Request::Changed   ◄ Told, once programs inside have been told | Failed
//! Request::Shutdown  ◄ Stopping, then the VM powers off
//! ```

mod change;
mod codec;
mod exec;

use serde::{Deserialize, Serialize};

pub use change::{Change, Deed, Kind, PRETENCE};
pub use codec::{MAX_MESSAGE, MessageError, read, write};
pub use exec::{Exec, Tty};

/// The first message on a control stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Say hello, then be configured.
    Boot,
    /// Run a program.
    Exec(Exec),
    /// Connect to a port of the loopback interface.
    Reach {
        /// The TCP port.
        port: u16,
    },
    /// Tell programs that wait for it what the host has changed in shared folders.
    Changed(Vec<Change>),
    /// End every process, unmount, power off.
    Shutdown {
        /// How long processes have between SIGTERM and SIGKILL, in milliseconds.
        grace_ms: u32,
    },
}

/// What the guest answers to every request but [`Request::Exec`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The guest's root is mounted and it can be configured.
    Hello(Hello),
    /// The configuration is applied; programs can run.
    Ready(Timings),
    /// What was asked could not be done. One sentence for the user.
    Failed(String),
    /// The connection is there.
    Reached,
    /// Whoever watched has heard of the changes.
    Told,
    /// Shutdown has begun; nothing more will come.
    Stopping,
}

/// Who the guest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::PROTOCOL`] of the guest.
    pub protocol: u32,
    /// Release of the running kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Whether an earlier host has configured this guest already.
    pub configured: bool,
    /// What the boot took so far.
    pub timings: Timings,
}

/// When each step of the boot ended, in milliseconds since the kernel started. Steps still to come
/// are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// The kernel started PID 1.
    pub init_ms: Option<u64>,
    /// The kernel modules are loaded.
    pub modules_ms: Option<u64>,
    /// The root is mounted and entered.
    pub root_ms: Option<u64>,
    /// The host's process was heard on the control port.
    pub host_ms: Option<u64>,
    /// The configuration is applied.
    pub ready_ms: Option<u64>,
}

/// Everything that makes this VM a particular sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configure {
    /// Name of the machine.
    pub hostname: String,
    /// Shared folders, mounted in this order.
    pub shares: Vec<Share>,
    /// The certificate authority of this sandbox's proxy, PEM, exactly one certificate.
    pub ca_pem: Option<String>,
    /// Variables that are added to every process, over those of the guest's own table.
    pub env: Vec<(String, String)>,
    /// Files for the agent, written once the user is there.
    #[serde(default)]
    pub seeds: Vec<Seed>,
    /// The user that programs run as unless they name one. The template must have it or its name must
    /// be free.
    pub user: User,
    /// The host's clock, nanoseconds since the Unix epoch.
    pub time_unix_ns: u64,
}

/// The name of the one file in a share that is one file.
pub const SHARED_FILE: &str = "file";

/// A folder of the host, or one file, served by virtiofs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Tag of the virtiofs device.
    pub tag: String,
    /// Absolute path in the guest: the same as on the host.
    pub path: String,
    /// Whether the guest may not write.
    pub read_only: bool,
    /// Whether what is served is a folder with nothing but [`SHARED_FILE`] in it, which belongs at `path`.
    #[serde(default)]
    pub file: bool,
}

/// A file that the host would like the guest to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// Absolute path in the guest; a leading `~/` is the user's home.
    pub path: String,
    /// The content.
    pub content: String,
    /// What to do with a file that the template or the user has put there.
    pub place: Place,
}

/// How a [`Seed`] meets a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// It stays as it is, and the seed is not used. The file is the user's, mode 0600.
    IfAbsent,
    /// The seed becomes a block of it between two marks, written anew at each start. The file is root's.
    Block,
}

/// An account in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric user.
    pub uid: u32,
    /// Numeric primary group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

impl Default for User {
    fn default() -> Self {
        Self {
            name: "agent".into(),
            uid: 1000,
            gid: 1000,
            home: "/home/agent".into(),
        }
    }
}

#[cfg(test)]
mod tests;
