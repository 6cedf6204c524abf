//! Names that are this machine.

use std::io;
use std::path::Path;

use crate::files;

/// The proxy's names are here too: the relay listens on the loopback interface.
pub(super) fn write(root: &Path, hostname: &str) -> io::Result<()> {
    let lines = format!(
        "127.0.0.1 localhost host.docker.internal gateway.docker.internal {hostname}\n\
         ::1 localhost ip6-localhost ip6-loopback\n"
    );
    files::replace_block(&files::under(root, "/etc/hosts"), &lines, 0o644)
}
