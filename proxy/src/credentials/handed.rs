//! Secrets that a caller hands to a proxy in another process.
//!
//! They travel in a memory file, whose descriptor is inherited: not in arguments, not in an environment (both of which
//! other processes of the user can read, and a VMM would inherit), and not on any disk. The supervisor between the two
//! passes the descriptor on unread, also to the proxy's successor when a proxy dies.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{MemfdFlags, memfd_create};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

/// Largest memory file that is believed.
const MAX_BYTES: u64 = 1024 * 1024;

/// Secrets by name: the names are those of environment variables.
#[derive(Debug, Clone, Default)]
pub struct Handed(BTreeMap<String, SecretString>);

impl Handed {
    /// The variables among `names` that are set in this process's environment, and not empty.
    pub fn from_env<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Self {
        let set = names.into_iter().filter_map(|name| {
            let name = name.as_ref();
            let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
            Some((name.to_owned(), value.into()))
        });
        Self(set.collect())
    }

    /// Adds or replaces a secret.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<SecretString>) {
        self.0.insert(name.into(), value.into());
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there is nothing to hand over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what `other` has.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The text itself, where it is needed in another form.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.expose_secret().to_owned())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    pub(crate) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let exposed: BTreeMap<_, _> = self
            .0
            .iter()
            .map(|(name, value)| (name, value.expose_secret()))
            .collect();
        Zeroizing::new(serde_json::to_vec(&exposed).unwrap_or_default())
    }

    pub(crate) fn from_json(json: &[u8]) -> serde_json::Result<Self> {
        let exposed: BTreeMap<String, String> = serde_json::from_slice(json)?;
        Ok(exposed.into_iter().collect())
    }
}

impl FromIterator<(String, String)> for Handed {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let secrets = pairs.into_iter().map(|(name, value)| (name, value.into()));
        Self(secrets.collect())
    }
}

/// The memory file that carries [`Handed`] between processes.
#[derive(Debug)]
pub struct Handover(File);

impl Handover {
    /// A new memory file with these secrets. Its descriptor is closed on `exec`; who passes it on says so.
    pub fn create(handed: &Handed) -> io::Result<Self> {
        let file = memfd_create(c"credentials", MemfdFlags::CLOEXEC)?;
        let handover = Self(file.into());
        handover.replace(handed)?;
        Ok(handover)
    }

    /// The memory file that was inherited as `file`.
    #[must_use]
    pub fn inherited(file: File) -> Self {
        Self(file)
    }

    /// The file, to be inherited by a child.
    #[must_use]
    pub fn into_file(self) -> File {
        self.0
    }

    /// What was handed over; nothing if the file is not one of ours, `/dev/null` for example.
    pub fn read(&self) -> io::Result<Handed> {
        let length = self.0.metadata()?.len().min(MAX_BYTES);
        let mut json = Zeroizing::new(vec![0; usize::try_from(length).unwrap_or(0)]);
        match json.is_empty() {
            true => Ok(Handed::default()),
            false => {
                self.0.read_exact_at(&mut json, 0)?;
                Ok(Handed::from_json(&json)?)
            }
        }
    }

    /// Puts other secrets in its place, for whoever reads it next.
    pub fn replace(&self, handed: &Handed) -> io::Result<()> {
        let json = handed.to_json();
        self.0.set_len(0)?;
        self.0.write_all_at(&json, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(pairs: &[(&str, &str)]) -> Handed {
        let owned = pairs.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        owned.collect()
    }

    #[test]
    fn there_and_back() {
        let handover = Handover::create(&handed(&[("A", "secret\"1"), ("B", "2")])).unwrap();
        let read = handover.read().unwrap();
        assert_eq!(read.names().collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(read.get("A").unwrap().expose_secret(), "secret\"1");
        assert!(!format!("{read:?}").contains("secret\"1"));
        // The next owner of the same file finds what was put there last.
        let next = Handover::inherited(handover.0.try_clone().unwrap());
        handover.replace(&handed(&[("C", "3")])).unwrap();
        assert_eq!(next.read().unwrap().names().collect::<Vec<_>>(), ["C"]);
        let null = Handover::inherited(File::open("/dev/null").unwrap());
        assert!(null.read().unwrap().is_empty());
    }
}
