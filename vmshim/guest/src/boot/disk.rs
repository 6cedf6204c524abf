//! Finding the disks.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Disks are probed by the time their driver is loaded; this is for a host that is badly overloaded.
const PATIENCE: Duration = Duration::from_secs(20);

/// The device of the virtio disk with this serial.
pub(super) fn find(serial: &str) -> io::Result<PathBuf> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(device) = look(serial)? {
            return Ok(device);
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::NotFound.into());
        }
        sleep(Duration::from_millis(2));
    }
}

fn look(serial: &str) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let found = fs::read_to_string(entry.path().join("serial")).unwrap_or_default();
        if found.trim_end() == serial {
            return Ok(Some(PathBuf::from("/dev").join(entry.file_name())));
        }
    }
    Ok(None)
}
