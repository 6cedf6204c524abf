//! Tokens by their sentinels.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use memchr::memmem;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::sentinel::{SentinelError, sentinel};
use crate::credentials::place::percent_encoded;
use crate::private_file;

/// Tokens that are kept: those of some twenty logins or renewals. The one used longest ago goes first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// The tokens of one vendor's logins.
#[derive(Debug)]
pub(super) struct Vault {
    kept: Mutex<LruCache<String, SecretString>>,
    /// Where they outlive the proxy; private to its owner.
    file: Option<PathBuf>,
}

impl Vault {
    /// With what was kept in `file`.
    pub(super) fn open(file: Option<PathBuf>) -> io::Result<Self> {
        let mut kept = LruCache::new(CAPACITY);
        if let Some(file) = &file {
            match fs::read(file).map(Zeroizing::new) {
                Ok(json) => {
                    let tokens: BTreeMap<String, String> = serde_json::from_slice(&json)?;
                    for (sentinel, token) in tokens {
                        kept.put(sentinel, token.into());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            kept: Mutex::new(kept),
            file,
        })
    }

    /// Keeps `token` and returns what stands for it.
    pub(super) fn keep(&self, token: &str, prefix: &str) -> Result<String, SentinelError> {
        let sentinel = sentinel(token, prefix)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(sentinel.clone(), token.into());
        if let Some(file) = &self.file {
            // A token that is not on disk serves until the proxy ends; then the agent logs in again.
            let _ = write(file, &kept);
        }
        Ok(sentinel)
    }

    /// The token that `said` stands for, if it is a sentinel and nothing else.
    pub(super) fn token_of(&self, said: &str) -> Option<Zeroizing<String>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let token = kept.get(said)?;
        Some(Zeroizing::new(token.expose_secret().to_owned()))
    }

    /// `text` with sentinels in the place of tokens.
    pub(super) fn conceal(&self, text: &[u8]) -> Vec<u8> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().fold(text.to_vec(), |text, (sentinel, token)| {
            let token = token.expose_secret();
            let text = replaced(&text, token.as_bytes(), sentinel.as_bytes()).unwrap_or(text);
            let encoded = percent_encoded(token);
            replaced(&text, encoded.as_bytes(), sentinel.as_bytes()).unwrap_or(text)
        })
    }
}

/// `text` with `new` for every `old`; none if there is no `old`.
fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut from = 0;
    for at in memmem::find_iter(text, old) {
        out.extend_from_slice(text.get(from..at)?);
        out.extend_from_slice(new);
        from = at + old.len();
    }
    if from == 0 {
        return None;
    }
    out.extend_from_slice(text.get(from..)?);
    Some(out)
}

fn write(file: &Path, kept: &LruCache<String, SecretString>) -> io::Result<()> {
    let exposed: BTreeMap<_, _> = kept
        .iter()
        .map(|(sentinel, token)| (sentinel, token.expose_secret()))
        .collect();
    let json = Zeroizing::new(serde_json::to_vec(&exposed)?);
    private_file::replace(file, &json)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn there_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("login-x.json");
        let vault = Vault::open(Some(file.clone())).unwrap();
        let one = vault.keep("token/one+1", "").unwrap();
        let two = vault.keep("token-two", "p_").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        for vault in [vault, Vault::open(Some(file)).unwrap()] {
            for (sentinel, token) in [(&one, "token/one+1"), (&two, "token-two")] {
                assert_eq!(**vault.token_of(sentinel).unwrap(), *token);
                for other in [&sentinel[1..], &format!("{sentinel} "), token, ""] {
                    assert!(vault.token_of(other).is_none(), "{other}");
                }
            }
            for text in [
                "a=token/one+1&b=token-two&c=token/one+1",
                "a=token%2Fone%2B1&b=token-two&c=token%2Fone%2B1",
            ] {
                let concealed = vault.conceal(text.as_bytes());
                assert_eq!(concealed, format!("a={one}&b={two}&c={one}").as_bytes());
            }
            assert_eq!(vault.conceal(b"nothing here"), b"nothing here");
        }
    }

    #[test]
    fn tokens_are_bounded() {
        let vault = Vault::open(None).unwrap();
        let first = vault.keep("the-first-token", "").unwrap();
        let second = vault.keep("the-second-token", "").unwrap();
        for number in 2..CAPACITY.get() {
            vault.keep(&format!("token-number-{number}"), "").unwrap();
            assert!(vault.token_of(&first).is_some(), "it is in use");
        }
        vault.keep("one-too-many", "").unwrap();
        assert!(vault.token_of(&first).is_some());
        assert!(vault.token_of(&second).is_none());
    }
}
