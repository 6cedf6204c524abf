//! Shared folders of the host.

use std::fs;
use std::io;

use rustix::mount::{MountFlags, mount as mount_fs};
use wire::message::Share;

/// Mounts one where the host has it. No device nodes and no set-user-id programs come from there.
pub(super) fn mount(share: &Share) -> io::Result<()> {
    fs::create_dir_all(&share.path)?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    if share.read_only {
        flags |= MountFlags::RDONLY;
    }
    mount_fs(&share.tag, &share.path, "virtiofs", flags, None)?;
    Ok(())
}
