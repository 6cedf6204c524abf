//! Shared folders and files of the host.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount as mount_fs, mount_bind, unmount};
use wire::message::{SHARED_FILE, Share};

/// Anybody may pass through.
const PASSABLE: u32 = 0o111;

/// Where the folder of a shared file is for a moment.
const STAGE: &str = "/run/sandbox/file";

/// Mounts one where the host has it, or where the user wants it.
pub(super) fn mount(share: &Share) -> io::Result<()> {
    let path = Path::new(&share.path);
    if share.file {
        return mount_file(share, path);
    }
    fs::create_dir_all(path)?;
    open_way(path, fs::metadata("/")?.dev())?;
    mount_folder(share, path)
}

/// No device nodes and no set-user-id programs come from there.
fn mount_folder(share: &Share, path: &Path) -> io::Result<()> {
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    if share.read_only {
        flags |= MountFlags::RDONLY;
    }
    mount_fs(&share.tag, path, "virtiofs", flags, None)?;
    Ok(())
}

/// virtiofs has folders only: the file is bound to its place from a folder of its own.
fn mount_file(share: &Share, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if !path.try_exists()? {
        fs::write(path, "")?;
    }
    open_way(path, fs::metadata("/")?.dev())?;
    let stage = Path::new(STAGE);
    fs::create_dir_all(stage)?;
    mount_folder(share, stage)?;
    let bound = mount_bind(stage.join(SHARED_FILE), path);
    unmount(stage, UnmountFlags::DETACH)?;
    Ok(bound?)
}

/// Makes every folder above `path` passable: the host's root keeps projects below `/root`, which in
/// the guest is another user's closed home. Only folders of the file system `own` are the guest's to
/// change; those of another share are the host's.
pub(super) fn open_way(path: &Path, own: u64) -> io::Result<()> {
    for folder in path.ancestors().skip(1) {
        let meta = fs::metadata(folder)?;
        let mode = meta.mode();
        if meta.dev() == own && mode & PASSABLE != PASSABLE {
            fs::set_permissions(folder, Permissions::from_mode(mode | PASSABLE))?;
        }
    }
    Ok(())
}
