//! The certificate authority of one sandbox: two files, made once, never replaced.
//!
//! `proxy-ca.key` (mode 0600) is written first and `proxy-ca.crt` second, each under a temporary name and then
//! linked to its own. A link never replaces a file, so two starts at once agree on the first key, and a crash
//! between the two leaves a key that nobody trusts yet, which the next start finishes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificate::{serial, valid};

/// Common name of every authority. It must not vary: OpenSSL finds a certificate in a directory by the hash of
/// its subject, so a constant subject makes the file name inside a guest predictable.
pub const SUBJECT: &str = "Sandbox Proxy CA";

/// File name of the certificate inside the authority's directory.
pub const CERTIFICATE: &str = "proxy-ca.crt";

/// File name of the private key inside the authority's directory.
pub const KEY: &str = "proxy-ca.key";

/// Extension of files that are being written; before it stands the process that writes.
const DRAFT: &str = "tmp";

/// Days an authority is valid: ten years. It dies with its sandbox long before.
const VALID_DAYS: i64 = 3650;

/// A loaded authority, able to sign.
#[derive(Debug)]
pub struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file or the directory could not be read or written.
    #[error("cannot {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is none, and none may be made.
    #[error("`{}` holds no certificate authority", .0.display())]
    Absent(PathBuf),
    /// The certificate is there and its key is not.
    #[error("`{}` has no key beside it", .0.display())]
    KeyMissing(PathBuf),
    /// A file does not hold what its name says.
    #[error("`{}` is not {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Key and certificate belong to different authorities.
    #[error("`{}` does not belong to the key beside it", .0.display())]
    Mismatch(PathBuf),
    /// The authority's time is over.
    #[error("`{}` has expired", .0.display())]
    Expired(PathBuf),
    /// Somebody other than the owner can read the key.
    #[error("`{}` can be read by other users (mode {mode:04o})", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Signing failed inside the cryptographic library.
    #[error("cannot sign a certificate")]
    Sign(#[from] rcgen::Error),
}

impl CaError {
    /// What the reader can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check the directory's owner, permissions and free space",
            Self::Absent(_)
            | Self::KeyMissing(_)
            | Self::Corrupt { .. }
            | Self::Mismatch(_)
            | Self::Expired(_) => "restore `proxy-ca.key` and `proxy-ca.crt` from a copy",
            Self::Exposed { .. } => {
                "run `chmod 600` on it, or make a new authority if others may have read it"
            }
            Self::Sign(_) => "report this as a bug",
        }
    }
}

/// Loads the authority in `dir`. One that is missing or damaged is an error, because guests trust the old one.
pub fn load(dir: &Path) -> Result<Authority, CaError> {
    let (key_path, cert_path) = (dir.join(KEY), dir.join(CERTIFICATE));
    match (exists(&key_path)?, exists(&cert_path)?) {
        (false, true) => Err(CaError::KeyMissing(cert_path)),
        (_, false) => Err(CaError::Absent(dir.to_owned())),
        (true, true) => read(&cert_path, load_key(&key_path)?),
    }
}

/// Makes a new authority in the place of the one in `dir`, whatever state that is in. Guests trust it only once they
/// have its certificate.
pub fn renew(dir: &Path) -> Result<Authority, CaError> {
    // The certificate first: a key without one is completed by `ensure`, a certificate without key is an error.
    for path in [dir.join(CERTIFICATE), dir.join(KEY)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &path)(error));
            }
            _ => {}
        }
    }
    ensure(dir)
}

/// Loads the authority in `dir`, making directory (mode 0700), key and certificate if there are none.
///
/// What is there is never replaced: a damaged authority is an error.
pub fn ensure(dir: &Path) -> Result<Authority, CaError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(io_error("create", dir))?;
    sweep(dir);
    let (key_path, cert_path) = (dir.join(KEY), dir.join(CERTIFICATE));
    if !exists(&key_path)? {
        if exists(&cert_path)? {
            return Err(CaError::KeyMissing(cert_path));
        }
        place(&key_path, 0o600, &KeyPair::generate()?.serialize_pem())?;
    }
    let key = load_key(&key_path)?;
    if !exists(&cert_path)? {
        place(&cert_path, 0o644, &self_signed(&key, Timestamp::now())?)?;
    }
    read(&cert_path, key)
}

/// The certificate in `dir` as PEM, without touching the key.
pub fn pem(dir: &Path) -> Result<String, CaError> {
    let path = dir.join(CERTIFICATE);
    fs::read_to_string(&path).map_err(io_error("read", &path))
}

impl Authority {
    /// The certificate as PEM, for a guest's trust store.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

fn self_signed(key: &KeyPair, now: Timestamp) -> Result<String, CaError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, SUBJECT);
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(serial());
    valid(&mut params, now, VALID_DAYS);
    Ok(params.self_signed(key)?.pem())
}

fn load_key(path: &Path) -> Result<KeyPair, CaError> {
    let mode = fs::metadata(path)
        .map_err(io_error("read", path))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        return Err(CaError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let text = fs::read_to_string(path).map_err(io_error("read", path))?;
    KeyPair::from_pem(&text).map_err(|_| CaError::Corrupt {
        path: path.to_owned(),
        what: "a private key in PEM",
    })
}

fn read(path: &Path, key: KeyPair) -> Result<Authority, CaError> {
    let corrupt = || CaError::Corrupt {
        path: path.to_owned(),
        what: "a certificate authority in PEM",
    };
    let pem = fs::read_to_string(path).map_err(io_error("read", path))?;
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| corrupt())?;
    let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| corrupt())?;
    if !parsed.is_ca() {
        return Err(corrupt());
    }
    if parsed.public_key().raw != key.subject_public_key_info().as_slice() {
        return Err(CaError::Mismatch(path.to_owned()));
    }
    if parsed.validity().not_after.timestamp() < Timestamp::now().as_second() {
        return Err(CaError::Expired(path.to_owned()));
    }
    let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| corrupt())?;
    Ok(Authority {
        pem,
        certificate,
        issuer,
    })
}

/// Writes `text` under a name of its own and links it to `path`. If `path` came to be meanwhile, that one stays.
fn place(path: &Path, mode: u32, text: &str) -> Result<(), CaError> {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_extension(format!("{}-{serial}.{DRAFT}", std::process::id()));
    let written = write_synced(&draft, mode, text).map_err(io_error("write", &draft));
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(io_error("create", path)(error))
        }
        _ => Ok(()),
    });
    // The draft has served; a leftover would only be clutter.
    let _ = fs::remove_file(&draft);
    linked?;
    let parent = path.parent().unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync", parent))
}

/// Removes drafts whose writers are gone: they hold keys.
fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == DRAFT) && !is_written(&path) {
            // What cannot be removed is clutter.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Whether the process that a draft names lives.
fn is_written(draft: &Path) -> bool {
    let name = draft.file_stem().unwrap_or_default().to_string_lossy();
    let writer = name
        .strip_prefix("proxy-ca.")
        .and_then(|writer| writer.split_once('-'));
    // A file that is none of ours is none to remove.
    writer.is_none_or(|(pid, _)| Path::new("/proc").join(pid).exists())
}

fn write_synced(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn exists(path: &Path) -> Result<bool, CaError> {
    path.try_exists().map_err(io_error("read", path))
}

fn io_error<'a>(verb: &'static str, path: &'a Path) -> impl Fn(io::Error) -> CaError + 'a {
    move |source| CaError::Io {
        verb,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("proxy_cacerts");
        (root, dir)
    }

    #[test]
    fn made_once_and_kept() {
        let (_root, dir) = fresh();
        let first = ensure(&dir).unwrap().pem().to_owned();
        assert_eq!(ensure(&dir).unwrap().pem(), first);
        assert_eq!(pem(&dir).unwrap(), first);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join(KEY)), 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "no drafts left");
    }

    #[test]
    fn a_crash_between_the_files_is_finished() {
        let (_root, dir) = fresh();
        ensure(&dir).unwrap();
        let key = fs::read(dir.join(KEY)).unwrap();
        fs::remove_file(dir.join(CERTIFICATE)).unwrap();
        ensure(&dir).unwrap();
        assert_eq!(fs::read(dir.join(KEY)).unwrap(), key);
    }

    #[test]
    fn starts_at_once_agree() {
        let (_root, dir) = fresh();
        let pems: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| ensure(&dir).unwrap().pem().to_owned()))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        assert!(pems.iter().all(|pem| *pem == pems[0]));
    }

    #[test]
    fn damage_is_named_and_never_repaired_silently() {
        type Damage = fn(&Path);
        let rows: &[(Damage, &str)] = &[
            (
                |dir| fs::remove_file(dir.join(KEY)).unwrap(),
                "has no key beside it",
            ),
            (
                |dir| fs::write(dir.join(KEY), "no key").unwrap(),
                "is not a private key",
            ),
            (
                |dir| fs::write(dir.join(CERTIFICATE), "no cert").unwrap(),
                "is not a certificate authority",
            ),
            (
                |dir| {
                    fs::write(dir.join(KEY), KeyPair::generate().unwrap().serialize_pem()).unwrap()
                },
                "does not belong to the key",
            ),
            (
                |dir| {
                    let key = KeyPair::from_pem(&fs::read_to_string(dir.join(KEY)).unwrap());
                    let old = Timestamp::UNIX_EPOCH;
                    fs::write(
                        dir.join(CERTIFICATE),
                        self_signed(&key.unwrap(), old).unwrap(),
                    )
                    .unwrap();
                },
                "has expired",
            ),
            (
                |dir| {
                    fs::set_permissions(dir.join(KEY), fs::Permissions::from_mode(0o644)).unwrap()
                },
                "can be read by other users (mode 0644)",
            ),
        ];
        for (damage, expected) in rows {
            let (_root, dir) = fresh();
            ensure(&dir).unwrap();
            damage(&dir);
            let text = || -> Vec<_> {
                [KEY, CERTIFICATE]
                    .map(|file| fs::read(dir.join(file)).ok())
                    .to_vec()
            };
            let damaged = text();
            for error in [ensure(&dir).unwrap_err(), load(&dir).unwrap_err()] {
                assert!(error.to_string().contains(expected), "{error}");
                assert!(!error.help().is_empty());
            }
            assert_eq!(text(), damaged, "nothing is written");
            let renewed = renew(&dir).unwrap().pem().to_owned();
            assert_eq!(load(&dir).unwrap().pem(), renewed);
        }
    }

    #[test]
    fn what_is_missing_is_made_by_some_and_missed_by_others() {
        let (_root, dir) = fresh();
        assert!(matches!(load(&dir), Err(CaError::Absent(_))));
        assert!(!dir.exists());
        let made = ensure(&dir).unwrap().pem().to_owned();
        assert_eq!(load(&dir).unwrap().pem(), made);
        assert_ne!(renew(&dir).unwrap().pem(), made);
    }

    #[test]
    fn drafts_of_the_dead_are_removed() {
        let (_root, dir) = fresh();
        ensure(&dir).unwrap();
        // The first process number that Linux never gives out.
        let (dead, living) = (u32::MAX, std::process::id());
        let drafts = [dead, living].map(|pid| dir.join(format!("proxy-ca.{pid}-0.tmp")));
        for draft in drafts.iter().chain([&dir.join("mine.tmp")]) {
            fs::write(draft, "half a key").unwrap();
        }
        ensure(&dir).unwrap();
        assert_eq!(drafts.map(|draft| draft.exists()), [false, true]);
        assert!(dir.join("mine.tmp").exists());
    }
}
