//! Where things are on disk, and the record of one sandbox.
//!
//! State is files and nothing else: a directory per sandbox that appears complete or not at all.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vmshim::lock::Lock;

use crate::git;
use crate::name::SandboxName;
use crate::report::Failure;
use crate::settings::Settings;
use crate::workspace::Workspace;

mod files;
mod removal;

pub(crate) use files::{DRAFT, Writing, create_once, lock_exclusive, replace, replace_if, writing};
pub(crate) use removal::remove;

/// What `unix(7)` leaves for a socket's path.
const MAX_SOCKET_PATH: usize = 107;
/// `/fs` and a number, or `/ctl`.
const LONGEST_SOCKET: usize = 6;

/// The directories that this user's sandboxes live in.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    home: PathBuf,
    cache: PathBuf,
    runtime: PathBuf,
}

impl Paths {
    /// Reads `HOME`, `SANDBOX_CACHE` and `XDG_RUNTIME_DIR`.
    pub(crate) fn from_env() -> Result<Self, Failure> {
        let home = absolute_var("HOME").ok_or_else(|| {
            Failure::new("the environment has no `HOME`, so there is nowhere to keep sandboxes")
                .help("set HOME to an absolute path")
        })?;
        let cache = absolute_var("SANDBOX_CACHE").unwrap_or_else(|| home.join(".sandboxd"));
        let uid = rustix::process::geteuid().as_raw();
        let runtime = absolute_var("XDG_RUNTIME_DIR")
            .map(|dir| dir.join("sandbox"))
            .unwrap_or_else(|| PathBuf::from(format!("/tmp/sandbox-{uid}")));
        Ok(Self {
            home,
            cache,
            runtime,
        })
    }

    /// The policy that new sandboxes start with.
    pub(crate) fn default_policy(&self) -> PathBuf {
        self.home.join(".sandboxd/proxy-config.json")
    }

    /// The directories that policies, and whatever else is the sandboxes' own, lie in.
    pub(crate) fn policies(&self) -> [PathBuf; 2] {
        [self.home.join(".sandboxd"), self.home.join(".docker")]
    }

    /// The directory that holds the sockets of running sandboxes.
    pub(crate) fn sockets(&self) -> &Path {
        &self.runtime
    }

    /// Kernels and templates, shared by all sandboxes.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Images of long block lists, shared by all proxies.
    pub(crate) fn lists(&self) -> PathBuf {
        self.cache.join("lists")
    }

    /// The directory that holds one directory a sandbox.
    pub(crate) fn sandboxes(&self) -> PathBuf {
        self.home.join(".docker/sandboxes/vm")
    }

    pub(crate) fn sandbox(&self, name: &SandboxName) -> PathBuf {
        self.sandboxes().join(name.as_str())
    }

    /// The sockets of one running sandbox. Short, and free of the sandbox's name: the kernel
    /// takes no socket path of more than 107 bytes (`unix(7)`).
    pub(crate) fn runtime(&self, id: &str) -> Result<PathBuf, Failure> {
        private_dir(&self.runtime)?;
        let dir = self.runtime.join(id);
        if dir.as_os_str().len() + LONGEST_SOCKET > MAX_SOCKET_PATH {
            return Err(Failure::new(format!(
                "`{}` is too long a path for sockets",
                dir.display()
            ))
            .help("set XDG_RUNTIME_DIR to a shorter one, in a private directory"));
        }
        Ok(dir)
    }
}

fn absolute_var(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// Makes `dir` if need be and insists that nobody else can write into it: in `/tmp` another user
/// may have made it first.
fn private_dir(dir: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    let meta = made
        .and_then(|()| fs::symlink_metadata(dir))
        .map_err(|error| Failure::doing(format!("cannot make `{}`", dir.display()), &error))?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw();
    if !meta.is_dir() || !ours || meta.mode() & 0o022 != 0 {
        return Err(Failure::new(format!(
            "`{}` is not a directory that only you can write to",
            dir.display()
        ))
        .help("remove it, or set XDG_RUNTIME_DIR to a private directory"));
    }
    Ok(())
}

/// What `sandbox.json` holds: everything that was fixed when the sandbox was created.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The layout of this file; a newer one is refused, not guessed at.
    pub(crate) version: u32,
    /// Twelve hexadecimal digits, made at creation; names the sandbox's sockets.
    pub(crate) id: String,
    pub(crate) name: SandboxName,
    pub(crate) agent: String,
    /// The first is the primary one: commands start there.
    pub(crate) workspaces: Vec<Workspace>,
    pub(crate) template: String,
    /// The template's image. Its layout is what the sandbox's disk lies over: a template that is
    /// built anew later is another file.
    pub(crate) image: PathBuf,
    /// Variables that the image sets.
    #[serde(default)]
    pub(crate) image_env: Vec<(String, String)>,
    /// RFC 3339, UTC.
    pub(crate) created_at: String,
    /// Who commits in the sandbox, as the host's git knew it.
    #[serde(default)]
    pub(crate) git: git::Identity,
    #[serde(flatten)]
    pub(crate) settings: Settings,
}

/// The part of `sandbox.json` that every version understands.
#[derive(Deserialize)]
struct Layout {
    version: u32,
}

/// The name of a sandbox's snapshot of its folders.
pub(crate) const SNAPSHOT: &str = "folders.snapshot";

impl Record {
    /// All that is shared, as the host calls it.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        let folders = self.workspaces.iter().map(|folder| folder.path.as_path());
        let volumes = self.settings.volumes.iter();
        folders.chain(volumes.map(|volume| volume.host.as_path()))
    }

    /// The folders that programs inside may write to, the primary one first.
    pub(crate) fn writable_folders(&self) -> Vec<PathBuf> {
        let folders = self.workspaces.iter().filter(|folder| !folder.read_only);
        let folders = folders.map(|folder| folder.path.clone());
        let volumes = self
            .settings
            .volumes
            .iter()
            .filter(|volume| !volume.read_only);
        let volumes = volumes.map(|volume| volume.host.clone());
        folders.chain(volumes).collect()
    }
}

/// The layout of `sandbox.json` that this program writes. Version 2 has settings that version 1's programs
/// would not keep, `hide` for one.
pub(crate) const RECORD_VERSION: u32 = 2;

/// One sandbox on disk.
#[derive(Debug, Clone)]
pub(crate) struct Sandbox {
    pub(crate) record: Record,
    pub(crate) dir: PathBuf,
}

impl Sandbox {
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("proxy-config.json")
    }

    pub(crate) fn ca_dir(&self) -> PathBuf {
        self.dir.join("proxy_cacerts")
    }

    pub(crate) fn network_log(&self) -> PathBuf {
        self.dir.join("network.jsonl")
    }

    pub(crate) fn primary_workspace(&self) -> Option<&Path> {
        self.record.workspaces.first().map(|w| w.path.as_path())
    }

    /// What the shared folders looked like when the sandbox was made.
    pub(crate) fn snapshot(&self) -> PathBuf {
        self.dir.join(SNAPSHOT)
    }

    /// The folders that programs inside may write to, the primary one first.
    pub(crate) fn writable_folders(&self) -> Vec<PathBuf> {
        self.record.writable_folders()
    }

    /// Whether a supervisor holds the sandbox's lock; the lock goes with the process that holds
    /// it, however that ends.
    pub(crate) fn is_running(&self) -> bool {
        Lock::is_taken(&self.dir.join("lock"))
    }
}

impl Paths {
    /// Opens the sandbox called `name`.
    pub(crate) fn open(&self, name: &SandboxName) -> Result<Sandbox, Failure> {
        self.find(name)?.ok_or_else(|| {
            Failure::new(format!("there is no sandbox `{name}`"))
                .help("list them with `sandbox ls`, or make one with `sandbox create`")
        })
    }

    /// The same, where its absence is no mistake.
    pub(crate) fn find(&self, name: &SandboxName) -> Result<Option<Sandbox>, Failure> {
        let dir = self.sandbox(name);
        let file = dir.join("sandbox.json");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Failure::doing(
                    format!("cannot read `{}`", file.display()),
                    &error,
                ));
            }
        };
        let damaged = |error: serde_json::Error| {
            Failure::doing(format!("`{}` is damaged", file.display()), &error)
                .help(format!("remove the sandbox with `sandbox rm {name}`"))
        };
        // First of all: the rest of a newer record may be anything.
        let Layout { version } = serde_json::from_str(&text).map_err(damaged)?;
        if version > RECORD_VERSION {
            return Err(Failure::new(format!(
                "sandbox `{name}` was made by a newer version of this program"
            ))
            .help("update `sandbox`, or remove the sandbox with the version that made it"));
        }
        let record = serde_json::from_str(&text).map_err(damaged)?;
        Ok(Some(Sandbox { record, dir }))
    }

    /// The name of every sandbox, damaged ones included.
    pub(crate) fn names(&self) -> Result<Vec<SandboxName>, Failure> {
        let dir = self.sandboxes();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Failure::doing(
                    format!("cannot list `{}`", dir.display()),
                    &error,
                ));
            }
        };
        let mut names: Vec<SandboxName> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse().ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Every sandbox, by name. A damaged one is reported in its place.
    pub(crate) fn all(&self) -> Result<Vec<Result<Sandbox, Failure>>, Failure> {
        let names = self.names()?;
        let found = names.iter().filter_map(|name| self.find(name).transpose());
        Ok(found.collect())
    }

    /// Changes what `sandbox.json` holds.
    pub(crate) fn rewrite(&self, sandbox: &Sandbox) -> Result<(), Failure> {
        write_json(&sandbox.dir.join("sandbox.json"), &sandbox.record)
    }

    /// Puts a new sandbox in place. `fill` gets a directory of its own to fill; only when it has
    /// succeeded does the sandbox exist.
    pub(crate) fn install(
        &self,
        record: Record,
        fill: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<Sandbox, Failure> {
        let parent = self.sandboxes();
        let cannot = |error: io::Error| {
            Failure::doing(format!("cannot write to `{}`", parent.display()), &error)
        };
        fs::create_dir_all(&parent).map_err(cannot)?;
        let _writing = writing(&parent).map_err(cannot)?;
        // The leading dot keeps a half-made directory from being any sandbox's name.
        let staging = tempfile::Builder::new()
            .prefix(DRAFT)
            .tempdir_in(&parent)
            .map_err(cannot)?;
        fill(staging.path())?;
        write_json(&staging.path().join("sandbox.json"), &record)?;
        let dir = self.sandbox(&record.name);
        match fs::rename(staging.path(), &dir) {
            Ok(()) => {
                // The directory has a new name: there is nothing left to remove.
                let _ = staging.keep();
                files::sync_dir(&parent).map_err(cannot)?;
                Ok(Sandbox { record, dir })
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Err(
                    Failure::new(format!("there is a sandbox `{}` already", record.name))
                        .help("choose another name with --name"),
                )
            }
            Err(error) => Err(cannot(error)),
        }
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::doing(format!("cannot write `{}`", path.display()), &error))?;
    text.push('\n');
    replace(path, text.as_bytes())
}
