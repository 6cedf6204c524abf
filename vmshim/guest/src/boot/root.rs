//! Mounting the root and moving into it.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, mount, mount_bind, mount_move};
use rustix::process::{chdir, chroot};

use super::{BootError, Step, disk};

const NONE: MountFlags = MountFlags::empty();
const SAFE: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// Where the initramfs holds the disks. The new root never sees these names.
const TEMPLATE: &str = "/template";
const DATA: &str = "/data";
const ROOT: &str = "/newroot";

/// What the initramfs itself needs.
pub(super) fn mount_early() -> Result<(), BootError> {
    mount_at("proc", "/proc", "proc", SAFE, "")?;
    mount_at("sysfs", "/sys", "sysfs", SAFE, "")?;
    mount_at(
        "devtmpfs",
        "/dev",
        "devtmpfs",
        MountFlags::NOSUID,
        "mode=0755",
    )
}

/// Builds the sandbox's root, makes it `/` and fills it with the kernel's file systems.
/// Returns the data disk.
pub(super) fn enter() -> Result<OwnedFd, BootError> {
    let template = disk::find("template").step("find the disk `template`")?;
    let data = disk::find("data").step("find the disk `data`")?;
    mount_at(&template, TEMPLATE, "erofs", MountFlags::RDONLY, "")?;
    mount_at(&data, DATA, "ext4", MountFlags::NOATIME, "")?;
    for dir in ["upper", "work", "docker"] {
        make_dir(&Path::new(DATA).join(dir))?;
    }
    let layers = format!("lowerdir={TEMPLATE},upperdir={DATA}/upper,workdir={DATA}/work");
    mount_at("root", ROOT, "overlay", NONE, &layers)?;
    let docker = format!("{ROOT}/var/lib/docker");
    make_dir(Path::new(&docker))?;
    mount_bind(format!("{DATA}/docker"), &docker).step("give container images the data disk")?;
    let directory = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let data = open(DATA, directory, Mode::empty()).step("open the data disk")?;
    switch()?;
    mount_late()?;
    Ok(data)
}

/// What `switch_root` does: the initramfs cannot be unmounted, only covered.
fn switch() -> Result<(), BootError> {
    for dir in ["/proc", "/sys", "/dev"] {
        let target = format!("{ROOT}{dir}");
        make_dir(Path::new(&target))?;
        mount_move(dir, &target).step(format!("move {dir} into the root"))?;
    }
    chdir(ROOT).step("enter the root")?;
    mount_move(ROOT, "/").step("put the root in place")?;
    chroot(".").step("change to the root")?;
    chdir("/").step("enter the root")
}

fn mount_late() -> Result<(), BootError> {
    let nosuid_nodev = MountFlags::NOSUID | MountFlags::NODEV;
    let pts = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount_at(
        "devpts",
        "/dev/pts",
        "devpts",
        pts,
        "mode=0620,gid=5,ptmxmode=0666",
    )?;
    mount_at("shm", "/dev/shm", "tmpfs", nosuid_nodev, "mode=1777")?;
    mount_at("run", "/run", "tmpfs", nosuid_nodev, "mode=0755")?;
    mount_at("cgroup2", "/sys/fs/cgroup", "cgroup2", SAFE, "nsdelegate")?;
    make_dir(Path::new("/run/lock"))?;
    make_dir(Path::new("/tmp"))?;
    let sticky = Permissions::from_mode(0o1777);
    fs::set_permissions("/tmp", sticky).step("open /tmp to everybody")?;
    link_descriptors()
}

/// The links that programs expect in /dev; devtmpfs does not make them.
fn link_descriptors() -> Result<(), BootError> {
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ];
    for (target, link) in links {
        symlink(target, link).step(format!("make {link}"))?;
    }
    // The kernel's own ptmx node belongs to no devpts instance that programs can see.
    drop(fs::remove_file("/dev/ptmx"));
    symlink("pts/ptmx", "/dev/ptmx").step("make /dev/ptmx")
}

fn mount_at(
    source: impl AsRef<Path>,
    target: &str,
    kind: &str,
    flags: MountFlags,
    options: &str,
) -> Result<(), BootError> {
    make_dir(Path::new(target))?;
    let options = std::ffi::CString::new(options).map_err(std::io::Error::from);
    let options = options.step("prepare a mount")?;
    mount(source.as_ref(), target, kind, flags, options.as_c_str())
        .step(format!("mount {kind} on {target}"))
}

fn make_dir(path: &Path) -> Result<(), BootError> {
    fs::create_dir_all(path).step(format!("make {}", path.display()))
}
