//! One blob from a registry to a file: checked while it streams, continued where an earlier try stopped.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use reqwest::Response;
use sha2::{Digest as _, Sha256};

use super::digest::{Digest, Verified, check_hash};
use super::manifest::LARGEST_DOCUMENT;
use super::registry::{Answer, Error, Http, Meter};
use crate::cache;

/// Tries without any progress before giving up.
const TRIES: u32 = 4;

/// Half the pause before the second try; it doubles from try to try.
const PAUSE: Duration = Duration::from_millis(250);

/// What to fetch, and from where.
#[derive(Clone, Copy)]
pub(super) struct Blob<'a> {
    pub(super) http: &'a Http<'a>,
    pub(super) digest: &'a str,
}

impl Blob<'_> {
    /// Asks for the bytes from `offset` on, and says from where on the registry sends them: there, or 0.
    async fn open(self, offset: u64) -> Result<(u64, Response), Error> {
        self.http.blob(self.digest, offset).await
    }

    fn broken(self, why: impl Into<Answer>) -> Error {
        self.http.explain(why.into())
    }
}

/// A blob that is a document; the caller checks its digest.
pub(super) async fn small(blob: Blob<'_>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let (_, mut response) = blob.open(0).await?;
    while let Some(chunk) = response.chunk().await.map_err(|e| blob.broken(e))? {
        bytes.extend_from_slice(&chunk);
        if length(&bytes) > LARGEST_DOCUMENT {
            return Err(Error::Size);
        }
    }
    Ok(bytes)
}

/// Fetches a blob of `size` bytes to `path`, which may hold its beginning from an earlier try.
///
/// On success the file is exactly the promised content; on failure it keeps what came, unless that was wrong.
pub(super) async fn to_file(
    blob: Blob<'_>,
    digest: &Digest,
    size: u64,
    path: &Path,
    meter: &Meter<'_>,
) -> Result<(), Error> {
    let mut part = Part::open(path, size, meter)?;
    let mut failures = 0;
    while part.length < size {
        let before = part.length;
        let Err(error) = part.resume(blob, meter).await else {
            continue;
        };
        failures = if part.length > before {
            1
        } else {
            failures + 1
        };
        if failures >= TRIES || !may_pass(&error) {
            return Err(error);
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(failures)).await;
    }
    part.check(digest)
}

/// Whether the same request may succeed a moment later.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Unreachable { source, .. } | Error::Answer { source, .. } => source.passing,
        Error::Busy { .. } => true,
        _ => false,
    }
}

/// The beginning of a blob.
struct Part<'a> {
    path: &'a Path,
    file: File,
    hash: Sha256,
    length: u64,
    size: u64,
}

impl<'a> Part<'a> {
    /// Opens the file and hashes what it holds.
    fn open(path: &'a Path, size: u64, meter: &Meter<'_>) -> Result<Self, Error> {
        let open = || {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            if file.metadata()?.len() > size {
                file.set_len(0)?;
            }
            let mut hash = Verified::new(&file);
            let length = io::copy(&mut hash, &mut io::sink())?;
            let hash = hash.into_hash();
            file.seek(SeekFrom::End(0))?;
            Ok((file, hash, length))
        };
        let (file, hash, length) = open().map_err(cache_error(path))?;
        meter.add(length);
        Ok(Self {
            path,
            file,
            hash,
            length,
            size,
        })
    }

    /// Fetches the rest, or as much of it as comes.
    async fn resume(&mut self, blob: Blob<'_>, meter: &Meter<'_>) -> Result<(), Error> {
        let (from, mut response) = blob.open(self.length).await?;
        if from == 0 {
            self.restart().map_err(cache_error(self.path))?;
        }
        while let Some(chunk) = response.chunk().await.map_err(|e| blob.broken(e))? {
            let count = length(&chunk);
            if self.length + count > self.size {
                self.restart().map_err(cache_error(self.path))?;
                return Err(Error::Size);
            }
            self.file
                .write_all(&chunk)
                .map_err(cache_error(self.path))?;
            self.hash.update(&chunk);
            self.length += count;
            meter.add(count);
        }
        if self.length < self.size {
            return Err(blob.broken(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.hash = Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// Compares the whole with its digest; what is wrong is not kept.
    fn check(mut self, wanted: &Digest) -> Result<(), Error> {
        let hash = std::mem::take(&mut self.hash);
        check_hash(wanted, hash).inspect_err(|_| {
            // If this fails too, the next try finds the same wrong content and gets here again.
            let _ = self.restart();
        })?;
        Ok(())
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn cache_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| cache::Error::Io { path, source }.into()
}
