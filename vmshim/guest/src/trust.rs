//! Making the guest trust the proxy's certificate authority.
//!
//! The result is what Debian's `update-ca-certificates` makes of the same file, without running it: it
//! starts a few hundred processes, which takes seconds under emulation. Since the certificate lies
//! where that tool looks for local ones, a later run of it keeps it.

mod java;

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::files;

/// Our certificate, where local certificates belong.
pub const OUR_CERT: &str = "/usr/local/share/ca-certificates/proxy-ca.crt";

/// The system's roots and ours, in one file.
pub const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The same, one file for each, under the hash of its subject.
pub const CERTS_DIR: &str = "/etc/ssl/certs";

/// The name that `update-ca-certificates` gives to `proxy-ca.crt` in [`CERTS_DIR`].
const LINK: &str = "proxy-ca.pem";

/// OpenSSL's hash of the subject `CN = Sandbox Proxy CA`, which every sandbox's authority has.
const SUBJECT_HASH: &str = "1ead6dc4";

/// OpenSSL looks at `HASH.0`, `HASH.1` and so on until one is missing.
const MAX_SAME_HASH: u32 = 16;

/// Installs the certificate below this root. Doing it again changes nothing; another certificate
/// replaces the one before.
pub fn install(root: &Path, pem: &str) -> io::Result<()> {
    let ours = files::under(root, OUR_CERT);
    let old = fs::read_to_string(&ours).unwrap_or_default();
    let bundle = files::under(root, BUNDLE);
    let certs = fs::read_to_string(&bundle).unwrap_or_default();
    let certs = with_cert(&certs, &old, pem);
    files::replace(&bundle, &certs, 0o644)?;
    java::install(root, &certs)?;
    files::replace(&ours, format!("{}\n", pem.trim()), 0o644)?;
    let dir = files::under(root, CERTS_DIR);
    link(Path::new(OUR_CERT), &dir.join(LINK))?;
    link(Path::new(LINK), &hash_link(&dir))
}

/// The bundle with our certificate, and without the one that we put there before.
fn with_cert(bundle: &str, old: &str, new: &str) -> String {
    let (old, new) = (old.trim(), new.trim());
    if bundle.contains(new) {
        return bundle.to_owned();
    }
    let mut bundle = match old {
        "" => bundle.to_owned(),
        old => bundle.replace(&format!("{old}\n"), ""),
    };
    if !bundle.is_empty() && !bundle.ends_with('\n') {
        bundle.push('\n');
    }
    bundle + new + "\n"
}

/// The first free name for our hash, or the one that is ours.
fn hash_link(dir: &Path) -> PathBuf {
    let name = |number| dir.join(format!("{SUBJECT_HASH}.{number}"));
    (0..MAX_SAME_HASH)
        .map(name)
        .find(|path| match fs::read_link(path) {
            Ok(target) => target == Path::new(LINK),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
        .unwrap_or_else(|| name(0))
}

fn link(target: &Path, link: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|found| found == target) {
        return Ok(());
    }
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => symlink(target, link),
    }
}

#[cfg(test)]
mod tests;
