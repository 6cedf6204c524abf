//! Shared folders of the host.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::mount::{MountFlags, mount as mount_fs};
use wire::message::Share;

/// Anybody may pass through.
const PASSABLE: u32 = 0o111;

/// Mounts one where the host has it. No device nodes and no set-user-id programs come from there.
pub(super) fn mount(share: &Share) -> io::Result<()> {
    let path = Path::new(&share.path);
    fs::create_dir_all(path)?;
    open_way(path, fs::metadata("/")?.dev())?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    if share.read_only {
        flags |= MountFlags::RDONLY;
    }
    mount_fs(&share.tag, path, "virtiofs", flags, None)?;
    Ok(())
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
