//! Content digests, and readers that check them.

use std::fmt::{self, Display};
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, written `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// The digest of what went into `hash`.
    pub(super) fn of_hash(hash: Sha256) -> Self {
        Self::finish(hash)
    }

    fn finish(hash: Sha256) -> Self {
        Self(
            hash.finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// The hex digits.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The digest as a file name: `sha256-` and the hex digits.
    pub(super) fn file_name(&self) -> String {
        format!("sha256-{}", self.0)
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// Why a text is not a [`Digest`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a sha256 digest")]
pub struct BadDigest(pub(super) String);

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        text.strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64)
            .filter(|hex| hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
            .map(|hex| Self(hex.to_owned()))
            .ok_or_else(|| BadDigest(text.escape_debug().to_string()))
    }
}

/// Content was not what its digest promised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("content with digest `{found}` came where `{wanted}` was promised")]
pub struct Mismatch {
    pub(super) wanted: Digest,
    pub(super) found: Digest,
}

/// Checks that `bytes` are what `wanted` promises.
pub(super) fn check(wanted: &Digest, bytes: &[u8]) -> Result<(), Mismatch> {
    compare(wanted, Digest::of(bytes))
}

/// Checks that what went into `hash` is what `wanted` promises.
pub(super) fn check_hash(wanted: &Digest, hash: Sha256) -> Result<(), Mismatch> {
    compare(wanted, Digest::finish(hash))
}

fn compare(wanted: &Digest, found: Digest) -> Result<(), Mismatch> {
    if found == *wanted {
        return Ok(());
    }
    let wanted = wanted.clone();
    Err(Mismatch { wanted, found })
}

/// Hashes what is read through it. Nothing that was read may be trusted before [`Verified::finish`].
pub(super) struct Verified<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Verified<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
        }
    }

    /// The hash of what was read.
    pub(super) fn into_hash(self) -> Sha256 {
        self.hash
    }

    /// Reads what is left and compares.
    pub(super) fn finish(mut self, wanted: &Digest) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink())?;
        check_hash(wanted, self.hash).map_err(io::Error::other)
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn rows() {
        let upper = EMPTY.to_uppercase();
        let short = EMPTY.strip_suffix('5').unwrap();
        let climbing = format!("sha256:{:.<64}", "../../etc/passwd");
        for (text, good) in [
            (EMPTY, true),
            (&upper, false),
            (short, false),
            (&climbing, false),
            ("sha512:00", false),
            ("", false),
        ] {
            let digest: Result<Digest, _> = text.parse();
            assert_eq!(digest.is_ok(), good, "{text}");
            if let Ok(digest) = digest {
                assert_eq!(digest.to_string(), text);
            }
        }
    }

    #[test]
    fn a_reader_is_checked_to_its_end() {
        let wanted = Digest::of(b"content");
        let mut reader = Verified::new(&b"content"[..]);
        reader.read_exact(&mut [0; 3]).unwrap();
        reader.finish(&wanted).unwrap();
        for other in [&b"content "[..], b"conten", b""] {
            let error = Verified::new(other).finish(&wanted).unwrap_err();
            let mismatch = error.get_ref().unwrap().downcast_ref::<Mismatch>().unwrap();
            assert_eq!(mismatch.wanted, wanted);
            assert_eq!(mismatch.found, Digest::of(other));
        }
    }
}
