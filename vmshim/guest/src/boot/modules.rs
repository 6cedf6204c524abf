//! Kernel modules: everything virtio is one in a distribution's kernel.

use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::system::finit_module;

use super::{BootError, Step};

/// One path per line, each module behind those that it needs.
const ORDER: &str = "/modules/order";

/// Loads every module of the list. No list means a kernel that has everything built in.
pub(super) fn load_all() -> Result<(), BootError> {
    let order = match fs::read_to_string(ORDER) {
        Ok(order) => order,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).step(format!("read {ORDER}")),
    };
    for path in order.lines().map(str::trim).filter(|line| !line.is_empty()) {
        load(Path::new(path)).step(format!("load the kernel module {path}"))?;
    }
    // The initramfs stays in memory for the VM's life; the modules need not.
    fs::remove_dir_all("/modules").step("free the memory of the modules")
}

fn load(path: &Path) -> io::Result<()> {
    let file = fs::File::open(path)?;
    match finit_module(&file, c"", 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
