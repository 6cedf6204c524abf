//! The roots that Java trusts: a file of its own, which Debian's `ca-certificates-java` makes of the system's.
//!
//! Format: Java's own `JKS`, which every JVM reads whatever its default is (`keystore.type.compat`). OpenJDK,
//! `sun/security/provider/JavaKeyStore.java`.

use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::files;

/// Where distributions keep it; their JVMs have links to there.
const FILES: [&str; 2] = [
    "/etc/ssl/certs/java/cacerts",
    "/etc/pki/ca-trust/extracted/java/cacerts",
];

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;

/// What every JVM's file has: it guards nothing, since the file holds nothing secret.
const PASSWORD: &str = "changeit";

/// Mixed into the digest, so that it is none of something else.
const WHITENER: &[u8] = b"Mighty Aphrodite";

/// Writes the certificates of a PEM bundle to wherever a JVM of the template looks.
pub(super) fn install(root: &Path, bundle: &str) -> io::Result<()> {
    for path in FILES {
        let path = files::under(root, path);
        if path.exists() {
            files::replace(&path, keystore(bundle), 0o644)?;
        }
    }
    Ok(())
}

fn keystore(bundle: &str) -> Vec<u8> {
    let certificates: Vec<Vec<u8>> = certificates(bundle).collect();
    let mut store = Vec::new();
    for number in [MAGIC, VERSION, length(&certificates)] {
        store.extend(number.to_be_bytes());
    }
    for (n, certificate) in certificates.iter().enumerate() {
        store.extend(TRUSTED_CERTIFICATE.to_be_bytes());
        text(&mut store, &format!("system-{n}"));
        store.extend(0_u64.to_be_bytes()); // made at no time, so that the file is the same at each start
        text(&mut store, "X.509");
        store.extend(length(certificate).to_be_bytes());
        store.extend(certificate);
    }
    let password: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut digest = Sha1::new();
    for part in [&password, WHITENER, &store] {
        digest.update(part);
    }
    store.extend(digest.finalize());
    store
}

/// The DER of each certificate; what cannot be read is left out, as OpenSSL does.
fn certificates(bundle: &str) -> impl Iterator<Item = Vec<u8>> {
    let begin = bundle.split("-----BEGIN CERTIFICATE-----").skip(1);
    begin.filter_map(|rest| {
        let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
        let body: String = body.split_whitespace().collect();
        STANDARD.decode(body).ok()
    })
}

fn length<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}

/// Text behind its length, as `DataOutput.writeUTF` writes it. Ours is ASCII.
fn text(store: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    store.extend(length.to_be_bytes());
    store.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const BUNDLE: &str = "# a comment\n-----BEGIN CERTIFICATE-----\nAQI=\n-----END CERTIFICATE-----\n\
                          -----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n\
                          -----BEGIN CERTIFICATE-----\nAwQF\n-----END CERTIFICATE-----\n";

    #[test]
    fn each_certificate_is_an_entry_and_the_digest_fits() {
        let store = keystore(BUNDLE);
        let mut wanted = vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 2];
        for (alias, certificate) in [("system-0", &[1, 2][..]), ("system-1", &[3, 4, 5])] {
            wanted.extend([0, 0, 0, 2, 0, 8]);
            wanted.extend(alias.as_bytes());
            wanted.extend([0; 8]);
            wanted.extend(b"\0\x05X.509\0\0\0");
            wanted.push(certificate.len() as u8);
            wanted.extend(certificate);
        }
        let (body, digest) = store.split_at(store.len() - 20);
        assert_eq!(body, wanted);
        let mut guarded = b"\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite".to_vec();
        guarded.extend(body);
        assert_eq!(digest, &Sha1::digest(guarded)[..]);
    }

    #[test]
    fn only_a_template_with_java_gets_one() {
        let dir = tempfile::tempdir().unwrap();
        install(dir.path(), BUNDLE).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let path = files::under(dir.path(), FILES[0]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "as packaged").unwrap();
        install(dir.path(), BUNDLE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), keystore(BUNDLE));
    }
}
