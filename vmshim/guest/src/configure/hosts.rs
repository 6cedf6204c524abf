//! Names that are this machine, and who knows all others.

use std::io;
use std::path::Path;

use crate::files;
use crate::names::{HOST, HOST_NAME, OWN};

/// The host's names are here too, for programs that ask no resolver.
pub(super) fn write(root: &Path, hostname: &str) -> io::Result<()> {
    let lines = format!(
        "127.0.0.1 localhost {hostname}\n\
         {HOST} {HOST_NAME} gateway.docker.internal\n\
         ::1 localhost ip6-localhost ip6-loopback\n"
    );
    files::replace_block(&files::under(root, "/etc/hosts"), &lines, 0o644)
}

/// The guest's own resolver is the only one. Its address is no loopback address because Docker would
/// replace such a one by a public resolver for its containers, which cannot reach that.
pub(super) fn write_resolver(root: &Path) -> io::Result<()> {
    let path = files::under(root, "/etc/resolv.conf");
    let text = format!("# Written by the sandbox at each start.\nnameserver {OWN}\n");
    files::replace(&path, text, 0o644)
}
