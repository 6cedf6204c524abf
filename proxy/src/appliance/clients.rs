//! The file of clients: who may come in, by what, and under which policy.
//!
//! ```text
//! # NAME  SHA-256 of NAME:PASSWORD, in hexadecimal  POLICY (default: NAME)
//! alice   8b07…c1
//! ci      5e88…ff   team
//! ```
//!
//! Passwords are made here, with 256 random bits: one that nobody can guess needs no slow hash, and a fast one leaves
//! nobody the means to keep the processors busy with wrong passwords. The file holds nothing that opens a door, and is
//! to be private all the same.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::zeroize::Zeroizing;

use super::name::{Name, NameError};
use crate::private_file;

/// Random bytes in a password.
const PASSWORD_BYTES: usize = 32;

/// Longest credentials that are looked at, encoded.
const MAX_CREDENTIALS: usize = 1024;

type Digest = [u8; SHA256_OUTPUT_LEN];

/// The clients of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clients(Vec<Client>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) name: Name,
    /// Over `NAME:PASSWORD`, so that equal passwords look different.
    pub(crate) digest: Digest,
    pub(crate) policy: Name,
}

/// Why a file of clients was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// It could not be read or written.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("`{}` is open to others than its owner", .0.display())]
    Open(PathBuf),
    /// A line is wrong.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

impl ClientsError {
    /// What the reader can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::Open(path) => Some(format!("chmod 600 {}", path.display())),
            Self::Line { .. } => {
                Some("lines are made by `sandbox proxy add-client NAME --clients FILE`".into())
            }
        }
    }
}

impl Clients {
    /// Reads `path`, which must be private.
    pub fn read(path: &Path) -> Result<Self, ClientsError> {
        Self::checked(path, &text(path)?)
    }

    /// What `text`, the content of `path`, says.
    fn checked(path: &Path, text: &str) -> Result<Self, ClientsError> {
        Self::parse(text).map_err(|(line, what)| ClientsError::Line {
            path: path.to_owned(),
            line,
            what,
        })
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut clients: Vec<Client> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let client = client(line).map_err(|what| (number + 1, what))?;
            if clients.iter().any(|other| other.name == client.name) {
                return Err((number + 1, format!("`{}` is there twice", client.name)));
            }
            clients.push(client);
        }
        Ok(Self(clients))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.iter()
    }

    /// The client whose credentials are in this value of `Proxy-Authorization` (RFC 7617 §2).
    ///
    /// COST: one hash, and one comparison with each client, however early one fits: the time tells nothing of a name.
    pub(crate) fn identify(&self, authorization: &[u8]) -> Option<&Client> {
        let pair = credentials(authorization)?;
        let presented = digest(&SHA256, &pair);
        let mut found = None;
        for client in &self.0 {
            if verify_slices_are_equal(&client.digest, presented.as_ref()).is_ok() {
                found = Some(client);
            }
        }
        found
    }
}

/// `NAME:PASSWORD` out of `Basic …`.
fn credentials(authorization: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, encoded) = str::from_utf8(authorization).ok()?.split_once(' ')?;
    let encoded = encoded.trim();
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_CREDENTIALS {
        return None;
    }
    STANDARD.decode(encoded).ok().map(Zeroizing::new)
}

fn client(line: &str) -> Result<Client, String> {
    let mut words = line.split_whitespace();
    let (name, hash, policy) = (words.next(), words.next(), words.next());
    let name: Name = name
        .unwrap_or_default()
        .parse()
        .map_err(|error: NameError| error.to_string())?;
    let policy = match policy {
        None => name.clone(),
        Some(policy) => policy
            .parse()
            .map_err(|error: NameError| error.to_string())?,
    };
    let digest = unhex(hash.unwrap_or_default())
        .ok_or("after the name comes a SHA-256 in 64 hexadecimal digits")?;
    match words.next() {
        None => Ok(Client {
            name,
            digest,
            policy,
        }),
        Some(more) => Err(format!("`{more}` is one word too many")),
    }
}

fn unhex(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        let digits = text.get(2 * index..2 * index + 2)?;
        // `from_str_radix` takes a sign.
        let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| plain)?;
    }
    Some(digest)
}

/// The content of the file at `path`, which must be private.
fn text(path: &Path) -> Result<String, ClientsError> {
    let io = |source| ClientsError::Io {
        path: path.to_owned(),
        source,
    };
    // The file that is judged is the one that is read.
    let file = fs::File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.mode() & 0o077 != 0 {
        return Err(ClientsError::Open(path.to_owned()));
    }
    io::read_to_string(file).map_err(io)
}

/// Adds the client `name` to the file at `path`, or gives the one that is there a new password, and returns the password.
/// It is kept nowhere.
pub fn add(path: &Path, name: &Name, policy: Option<&Name>) -> Result<String, ClientsError> {
    let io = |source| ClientsError::Io {
        path: path.to_owned(),
        source,
    };
    let old = match text(path) {
        Err(ClientsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            String::new()
        }
        read => read?,
    };
    Clients::checked(path, &old)?;
    let mut random = Zeroizing::new([0; PASSWORD_BYTES]);
    aws_lc_rs::rand::fill(&mut *random).map_err(|_| io(io::Error::other("no random numbers")))?;
    let password = URL_SAFE_NO_PAD.encode(*random);
    let digest = digest(&SHA256, format!("{name}:{password}").as_bytes());
    let hash = digest
        .as_ref()
        .iter()
        .fold(String::new(), |mut hash, byte| {
            let _ = write!(hash, "{byte:02x}");
            hash
        });
    let others = |line: &&str| line.split_whitespace().next() != Some(name.as_str());
    let mut text: String = old
        .lines()
        .filter(others)
        .map(|line| format!("{line}\n"))
        .collect();
    let policy = policy.map(|policy| format!(" {policy}"));
    let _ = writeln!(text, "{name} {hash}{}", policy.unwrap_or_default());
    private_file::replace(path, text.as_bytes()).map_err(io)?;
    Ok(password)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn basic(pair: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(pair)).into_bytes()
    }

    #[test]
    fn who_is_let_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clients");
        let [alice, bob, team]: [Name; 3] = ["alice", "bob", "team"].map(|n| n.parse().unwrap());
        let first = add(&path, &alice, None).unwrap();
        let second = add(&path, &bob, Some(&team)).unwrap();
        let again = add(&path, &alice, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&path).unwrap().contains(&second));
        let clients = Clients::read(&path).unwrap();
        let identify = |value: &[u8]| {
            let client = clients.identify(value)?;
            Some((client.name.to_string(), client.policy.to_string()))
        };
        let known = |name: &str, policy: &str| Some((name.to_owned(), policy.to_owned()));
        let rows = [
            (basic(&format!("alice:{again}")), known("alice", "alice")),
            (basic(&format!("bob:{second}")), known("bob", "team")),
            (basic(&format!("alice:{first}")), None),
            (basic(&format!("alice:{second}")), None),
            (basic(&format!("ALICE:{again}")), None),
            (basic(&format!("alice:{again} ")), None),
            (basic("nobody:x"), None),
            (basic(""), None),
            (b"Basic".to_vec(), None),
            (b"Basic ***".to_vec(), None),
            (b"Basic \xff".to_vec(), None),
            (format!("Bearer {again}").into_bytes(), None),
        ];
        for (value, expected) in rows {
            assert_eq!(identify(&value), expected, "{}", value.escape_ascii());
        }
        let lower = format!("bAsIc  {}", STANDARD.encode(format!("bob:{second}")));
        assert_eq!(identify(lower.as_bytes()), known("bob", "team"));
    }

    #[test]
    fn wrong_files() {
        let hash = "0".repeat(64);
        let rows = [
            (format!("a {hash}\n# x\n\nb {hash} p # y\n"), Ok(2)),
            (String::new(), Ok(0)),
            (format!("a {hash}\na {hash}\n"), Err(2)),
            (format!("a {hash} p q\n"), Err(1)),
            ("\na secret\n".to_owned(), Err(2)),
            (format!("a {}\n", "+0".repeat(32)), Err(1)),
            (format!("a/b {hash}\n"), Err(1)),
            (format!("a {hash} ../etc\n"), Err(1)),
        ];
        for (text, expected) in rows {
            let got = Clients::parse(&text);
            let got = got.map(|clients| clients.0.len()).map_err(|(line, _)| line);
            assert_eq!(got, expected, "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clients");
        fs::write(&path, "").unwrap();
        for (mode, open) in [
            (0o600, false),
            (0o400, false),
            (0o640, true),
            (0o604, true),
            (0o620, true),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = Clients::read(&path);
            assert_eq!(
                matches!(read, Err(ClientsError::Open(_))),
                open,
                "{mode:o} {read:?}"
            );
        }
    }
}
