use sha1::{Digest, Sha1};

use super::*;

const ROOTS: &str = "-----BEGIN CERTIFICATE-----\nroot\n-----END CERTIFICATE-----\n";
const ONE: &str = "-----BEGIN CERTIFICATE-----\none\n-----END CERTIFICATE-----\n";
const TWO: &str = "-----BEGIN CERTIFICATE-----\ntwo\n-----END CERTIFICATE-----";

/// What X509_NAME_hash does: SHA-1 over the name without its outer header, its text in lower case as
/// a UTF8String; the first four bytes, least significant first.
#[test]
fn the_hash_is_that_of_the_subject() {
    let name = b"sandbox proxy ca";
    let len = u8::try_from(name.len()).unwrap();
    let mut der = vec![0x31, len + 9, 0x30, len + 7, 6, 3, 0x55, 4, 3, 0x0c, len];
    der.extend(name);
    let digest = Sha1::digest(&der);
    let hash = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
    assert_eq!(format!("{hash:08x}"), SUBJECT_HASH);
}

#[test]
fn the_bundle_has_every_root_and_ours_once() {
    let trimmed = TWO.trim();
    let rows = [
        // bundle, the one before, the new one, result
        (String::new(), "", ONE, ONE.to_owned()),
        (ROOTS.to_owned(), "", ONE, format!("{ROOTS}{ONE}")),
        (ROOTS.trim().to_owned(), "", ONE, format!("{ROOTS}{ONE}")),
        (format!("{ROOTS}{ONE}"), ONE, ONE, format!("{ROOTS}{ONE}")),
        (format!("{ONE}{ROOTS}"), ONE, ONE, format!("{ONE}{ROOTS}")),
        (
            format!("{ROOTS}{ONE}"),
            ONE,
            TWO,
            format!("{ROOTS}{trimmed}\n"),
        ),
        (
            format!("{ONE}{ROOTS}"),
            ONE,
            TWO,
            format!("{ROOTS}{trimmed}\n"),
        ),
    ];
    for (bundle, old, new, wanted) in rows {
        assert_eq!(
            with_cert(&bundle, old, new),
            wanted,
            "{bundle:?} {old:?} {new:?}"
        );
    }
}

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc/ssl/certs")).unwrap();
    fs::write(root.path().join("etc/ssl/certs/ca-certificates.crt"), ROOTS).unwrap();
    root
}

fn read(root: &tempfile::TempDir, path: &str) -> String {
    fs::read_to_string(files::under(root.path(), path)).unwrap()
}

fn target(root: &tempfile::TempDir, path: &str) -> PathBuf {
    fs::read_link(files::under(root.path(), path)).unwrap()
}

#[test]
fn installing_again_changes_nothing_and_another_replaces() {
    let root = root();
    for pem in [ONE, ONE, TWO, TWO] {
        install(root.path(), pem).unwrap();
        let normal = format!("{}\n", pem.trim());
        assert_eq!(read(&root, OUR_CERT), normal);
        assert_eq!(read(&root, BUNDLE), format!("{ROOTS}{normal}"));
        assert_eq!(
            target(&root, "/etc/ssl/certs/proxy-ca.pem"),
            Path::new(OUR_CERT)
        );
        assert_eq!(
            target(&root, "/etc/ssl/certs/1ead6dc4.0"),
            Path::new("proxy-ca.pem")
        );
        let count = fs::read_dir(files::under(root.path(), CERTS_DIR))
            .unwrap()
            .count();
        assert_eq!(count, 3, "something was left behind");
    }
}

#[test]
fn a_certificate_that_has_our_hash_already_stays() {
    let root = root();
    let theirs = files::under(root.path(), "/etc/ssl/certs/1ead6dc4.0");
    fs::write(&theirs, "theirs").unwrap();
    install(root.path(), ONE).unwrap();
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    assert_eq!(
        target(&root, "/etc/ssl/certs/1ead6dc4.1"),
        Path::new("proxy-ca.pem")
    );
}

#[test]
fn a_template_without_certificates_gets_ours() {
    let root = tempfile::tempdir().unwrap();
    install(root.path(), ONE).unwrap();
    assert_eq!(read(&root, BUNDLE), ONE);
}
