//! Where secrets are read from. Each is read when it is used, so a rotated one is used at once or nearly so.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::process::Command;
use tokio::time::timeout;

use super::CredentialError;
use super::had::{Had, Outcome};
use super::secret::{MAX_SECRET, Secret};

/// How long what a program printed is used again.
const PRINTED_VALID: Duration = Duration::from_secs(60);

/// Time for a program to print a secret.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(10);

/// What tells that a file was written or replaced: device, inode, size, and the two times in nanoseconds.
type Stamp = [i128; 5];

/// Files as they were when they were read last.
#[derive(Debug, Default)]
pub(super) struct Files(Mutex<HashMap<Box<str>, (Stamp, Secret)>>);

impl Files {
    /// The secret in the file at `path`. COST: a `stat(2)`, and a read where that tells of a change.
    pub(super) fn secret(&self, path: &str) -> Result<Secret, CredentialError> {
        let missing = |_| CredentialError::NoFile(path.to_owned());
        let stamp = stamp(Path::new(path)).map_err(missing)?;
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, secret)) = files.get(path)
            && *known == stamp
        {
            return Ok(secret.clone());
        }
        let secret = Secret::new(read(Path::new(path)).map_err(missing)?)?;
        files.insert(path.into(), (stamp, secret.clone()));
        Ok(secret)
    }
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let meta = std::fs::metadata(path)?;
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Ok([
        meta.dev().into(),
        meta.ino().into(),
        meta.size().into(),
        nanos(meta.mtime(), meta.mtime_nsec()),
        nanos(meta.ctime(), meta.ctime_nsec()),
    ])
}

/// At most one byte more than a secret may have.
fn read(path: &Path) -> std::io::Result<SecretString> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_SECRET as u64 + 3).read_to_string(&mut text)?;
    Ok(text.into())
}

/// What programs print.
#[derive(Debug, Default)]
pub(super) struct Printed(Had);

impl Printed {
    /// What the shell's `line` prints.
    pub(super) async fn by_command(
        &self,
        line: &str,
        pause: Duration,
    ) -> Result<Secret, CredentialError> {
        let program = || {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(line);
            printed(shell)
        };
        let printed = self.0.get(line, pause, program).await;
        printed.map_err(|error| match error {
            CredentialError::NoKeyring => CredentialError::Command,
            other => other,
        })
    }

    /// The entry of the desktop keyring (freedesktop.org's Secret Service) with these attributes: `key=value` words, or
    /// one word that is the `account` of service `sandbox`.
    ///
    /// libsecret's own `secret-tool` asks for it. The crates that speak to the Secret Service themselves bring a D-Bus
    /// stack of some sixty crates into the process that holds the secrets; this brings a pipe.
    pub(super) async fn by_keyring(
        &self,
        entry: &str,
        pause: Duration,
    ) -> Result<Secret, CredentialError> {
        let program = || {
            let mut tool = Command::new("secret-tool");
            tool.arg("lookup").args(attributes(entry));
            printed(tool)
        };
        let asked = self.0.get(&keyring(entry), pause, program).await;
        asked.map_err(|error| match error {
            CredentialError::Command | CredentialError::Empty => {
                CredentialError::NoEntry(entry.to_owned())
            }
            other => other,
        })
    }

    /// An origin refused what that command printed.
    pub(super) fn command_refused(&self, line: &str, pause: Duration) {
        self.0.forget(line, pause);
    }

    /// An origin refused what the keyring has there.
    pub(super) fn keyring_refused(&self, entry: &str, pause: Duration) {
        self.0.forget(&keyring(entry), pause);
    }
}

/// What an entry is kept under, beside commands.
fn keyring(entry: &str) -> String {
    format!("keyring {entry}")
}

async fn printed(program: Command) -> Outcome {
    Ok((PRINTED_VALID, Secret::new(run(program).await?)?))
}

fn attributes(entry: &str) -> Vec<&str> {
    match entry.contains('=') {
        true => entry
            .split_whitespace()
            .flat_map(|pair| pair.split_once('=').map_or([pair, ""], |(k, v)| [k, v]))
            .collect(),
        false => vec!["service", "sandbox", "account", entry],
    }
}

async fn run(mut program: Command) -> Result<SecretString, CredentialError> {
    program
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    match timeout(PROGRAM_PATIENCE, program.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            let text = String::from_utf8(output.stdout);
            text.map(Into::into).map_err(|_| CredentialError::BadBytes)
        }
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(CredentialError::NoKeyring)
        }
        _ => Err(CredentialError::Command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let name = path.display().to_string();
        let files = Files::default();
        let missing = CredentialError::NoFile(name.clone());
        assert_eq!(files.secret(&name).unwrap_err(), missing);
        for text in ["one", "two", "three"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(files.secret(&name).unwrap().expose(), text);
            assert_eq!(files.secret(&name).unwrap().expose(), text);
        }
        // Renamed over, as careful writers do.
        std::fs::write(dir.path().join("new"), "seven").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(files.secret(&name).unwrap().expose(), "seven");
        std::fs::write(&path, "a\r\nb").unwrap();
        assert_eq!(files.secret(&name).unwrap_err(), CredentialError::BadBytes);
        std::fs::write(&path, "x".repeat(1 << 20)).unwrap();
        assert_eq!(
            files.secret(&name).unwrap_err(),
            CredentialError::TooLong(MAX_SECRET)
        );
        std::fs::remove_file(&path).unwrap();
        assert_eq!(files.secret(&name).unwrap_err(), missing);
    }

    #[tokio::test]
    async fn programs() {
        const PAUSE: Duration = Duration::from_secs(10);
        let dir = tempfile::tempdir().unwrap();
        let count = dir.path().join("count").display().to_string();
        let line = format!("echo x >> {count}; wc -l < {count}; echo noise >&2");
        let printed = Printed::default();
        for expected in ["1", "1"] {
            let secret = printed.by_command(&line, PAUSE).await.unwrap();
            assert_eq!(secret.expose().trim(), expected, "kept");
        }
        printed.command_refused(&line, Duration::ZERO);
        let again = printed.by_command(&line, PAUSE).await.unwrap();
        assert_eq!(again.expose().trim(), "2");
        for line in ["exit 1", "/nonexistent"] {
            let failed = printed.by_command(line, PAUSE).await.unwrap_err();
            assert_eq!(failed, CredentialError::Command, "{line}");
        }
    }

    #[test]
    fn keyring_entries() {
        let rows: [(&str, &[&str]); 2] = [
            ("anthropic", &["service", "sandbox", "account", "anthropic"]),
            (
                "server=api.test user=me",
                &["server", "api.test", "user", "me"],
            ),
        ];
        for (entry, expected) in rows {
            assert_eq!(attributes(entry), expected);
        }
    }
}
