//! Caps on a container's memory and processors: a control group of its own (cgroups(7), version 2).
//!
//! A user may have groups made where an ancestor of its own group is its to change, as the ones are that systemd
//! delegates to a user's services and scopes. Where that is not so, the container runs without caps and says so.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, access};

/// Where the one hierarchy of version 2 is mounted.
const TREE: &str = "/sys/fs/cgroup";

/// What has to be shared out by a group for its children to be capped.
const CONTROLLERS: [&str; 2] = ["cpu", "memory"];

/// The kernel's default period, in microseconds: a quota of as many is one processor.
const PERIOD_US: u64 = 100_000;

/// The most that a container may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Memory with page cache, in MiB. There is no swap beyond it.
    pub memory_mib: u32,
    /// Processors' worth of time.
    pub cpus: u32,
}

/// Why a container runs without caps.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncapped {
    /// The machine has version 1, or no control groups.
    #[error("this machine has no control groups of version 2")]
    NoTree,
    /// No group can be made that has caps.
    #[error(
        "this user may not set them here; started by `systemd-run --user --scope sandbox …`, it may"
    )]
    NotOurs,
}

/// The control group of one container. It is removed with this value, if nothing is left in it.
#[derive(Debug)]
pub struct Group {
    dir: PathBuf,
}

impl Group {
    /// Makes a group called `name` as near to this process's own as the kernel allows.
    pub fn make(name: &str, caps: Caps) -> Result<Self, Uncapped> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::make_in(Path::new(TREE), &own, name, caps)
    }

    fn make_in(tree: &Path, own: &str, name: &str, caps: Caps) -> Result<Self, Uncapped> {
        if !tree.join("cgroup.controllers").exists() {
            return Err(Uncapped::NoTree);
        }
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let own = tree.join(own.ok_or(Uncapped::NoTree)?);
        let parents = own.ancestors().take_while(|dir| dir.starts_with(tree));
        let mut made = parents.filter_map(|parent| Self::below(parent, name, caps).ok());
        made.next().ok_or(Uncapped::NotOurs)
    }

    fn below(parent: &Path, name: &str, caps: Caps) -> io::Result<Self> {
        // Moving a process from a group to another takes this right at their common ancestor.
        access(parent.join("cgroup.procs"), Access::WRITE_OK)?;
        share_out(parent)?;
        let dir = parent.join(name);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {} // of an earlier life
        }
        let group = Self { dir };
        group.set(caps)?;
        Ok(group)
    }

    fn set(&self, caps: Caps) -> io::Result<()> {
        let memory = u64::from(caps.memory_mib) << 20;
        let quota = u64::from(caps.cpus) * PERIOD_US;
        fs::write(self.dir.join("memory.max"), memory.to_string())?;
        fs::write(self.dir.join("cpu.max"), format!("{quota} {PERIOD_US}"))?;
        let swap = self.dir.join("memory.swap.max");
        match swap.exists() {
            true => fs::write(swap, "0"),
            false => Ok(()), // a kernel that swaps nothing
        }
    }

    /// Has a command that is about to be spawned begin in this group, and with it all that it starts.
    pub fn enter(&self, command: &mut Command) -> io::Result<()> {
        let procs = File::options()
            .write(true)
            .open(self.dir.join("cgroup.procs"))?;
        // SAFETY: between fork and exec only a system call is made, without memory being allocated.
        unsafe {
            command.pre_exec(move || {
                rustix::io::write(&procs, b"0")?;
                Ok(())
            });
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Not empty yet: then the next start takes it over.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Has the children of `parent` capped in what we cap. The kernel refuses where `parent` has processes of its own.
fn share_out(parent: &Path) -> io::Result<()> {
    let file = parent.join("cgroup.subtree_control");
    let shared = fs::read_to_string(&file)?;
    let has = |controller| shared.split_whitespace().any(|word| word == controller);
    if CONTROLLERS.iter().all(|controller| has(*controller)) {
        return Ok(());
    }
    let more = CONTROLLERS.map(|controller| format!("+{controller}"));
    fs::write(file, more.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const CAPS: Caps = Caps {
        memory_mib: 512,
        cpus: 3,
    };

    /// Ordinary files in the shape of the kernel's. `groups` are paths with what they share out; of one that is not
    /// ours, `None`.
    fn tree(groups: &[(&str, Option<&str>)]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("cgroup.controllers"), "cpu memory").unwrap();
        for (path, shared) in groups {
            let dir = tree.path().join(path);
            fs::create_dir_all(&dir).unwrap();
            let Some(shared) = shared else { continue };
            fs::write(dir.join("cgroup.procs"), "").unwrap();
            fs::write(dir.join("cgroup.subtree_control"), shared).unwrap();
        }
        tree
    }

    fn made(tree: &Path, own: &str) -> Result<String, Uncapped> {
        let group = Group::make_in(tree, own, "sandbox-x", CAPS)?;
        let dir = group.dir.strip_prefix(tree).unwrap();
        let read = |name: &str| fs::read_to_string(group.dir.join(name)).unwrap();
        assert_eq!(read("memory.max"), "536870912");
        assert_eq!(read("cpu.max"), "300000 100000");
        Ok(dir.display().to_string())
    }

    #[test]
    fn the_nearest_group_that_is_ours_is_taken() {
        for (groups, own, wanted) in [
            (&[("", Some("cpu memory pids"))][..], "0::/\n", "sandbox-x"),
            (
                &[
                    ("", None),
                    ("user/app", Some("cpu memory")),
                    ("user/app/run", None),
                ],
                "7:pids:/\n0::/user/app/run\n",
                "user/app/sandbox-x",
            ),
        ] {
            let tree = tree(groups);
            assert_eq!(made(tree.path(), own).as_deref(), Ok(wanted), "{own}");
        }
    }

    #[test]
    fn what_is_not_shared_out_is_asked_for() {
        let tree = tree(&[("", None), ("app", Some("memory"))]);
        assert_eq!(made(tree.path(), "0::/app").as_deref(), Ok("app/sandbox-x"));
        let asked = fs::read_to_string(tree.path().join("app/cgroup.subtree_control")).unwrap();
        assert_eq!(asked, "+cpu +memory");
    }

    #[test]
    fn without_groups_of_ours_the_reason_is_told() {
        let ours = tree(&[("", Some("cpu memory"))]);
        assert_eq!(made(ours.path(), "4:memory:/"), Err(Uncapped::NoTree));
        let foreign = tree(&[("", None), ("app", None)]);
        assert_eq!(made(foreign.path(), "0::/app"), Err(Uncapped::NotOurs));
        let old = tempfile::tempdir().unwrap();
        assert_eq!(made(old.path(), "0::/"), Err(Uncapped::NoTree));
    }

    #[test]
    fn a_command_begins_in_the_group() {
        let tree = tree(&[("", Some("cpu memory"))]);
        let group = Group::make_in(tree.path(), "0::/", "sandbox-x", CAPS).unwrap();
        let procs = group.dir.join("cgroup.procs");
        fs::write(&procs, "").unwrap();
        fs::set_permissions(&procs, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = Command::new("true");
        group.enter(&mut command).unwrap();
        assert!(command.status().unwrap().success());
        assert_eq!(fs::read_to_string(procs).unwrap(), "0", "itself");
    }
}
