//! Images of long block lists in a folder of the user's: ready in milliseconds, and small in memory.
//!
//! A cache and nothing more. What is missing, damaged, old or not only the user's is not used, and the list is read
//! as if there were no folder.

use std::fs::{DirBuilder, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use policy_lang::{ReadAt, Stamp, WriteImage};
use rustix::fs::{Mode, OFlags};
use tempfile::NamedTempFile;

/// What lists are hashed with: three random words.
const KEY_BYTES: usize = 24;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct ListImages {
    dir: PathBuf,
    key: [u64; 3],
}

impl ListImages {
    /// Makes what is missing.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let metadata = dir.symlink_metadata()?;
        let writable = metadata.mode() & 0o022 != 0;
        if !metadata.is_dir() || !is_own(metadata.uid()) || writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let path = dir.join("key");
        let key = read_key(&path).or_else(|_| make_key(&path))?;
        Ok(Self {
            dir: dir.to_owned(),
            key,
        })
    }

    pub(crate) fn key(&self) -> [u64; 3] {
        self.key
    }

    /// The image of the list at `path`.
    pub(crate) fn find(&self, list: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let file = open_own(&self.path(list))?;
        Ok(Arc::new(Opened::new(file)?))
    }

    /// Saves the image of the list at `path`.
    ///
    /// Not synced: what a crash leaves half written is found out by the check that every image is read with.
    pub(crate) fn save(
        &self,
        list: &Path,
        stamp: &Stamp,
        write: &WriteImage<'_>,
    ) -> io::Result<Arc<dyn ReadAt>> {
        let mut file = BufWriter::with_capacity(1 << 20, NamedTempFile::new_in(&self.dir)?);
        write(stamp, &mut file)?;
        let file = file.into_inner()?.persist(self.path(list))?;
        Ok(Arc::new(Opened::new(file)?))
    }

    /// Paths may be longer than names, so their digest names the image.
    fn path(&self, list: &Path) -> PathBuf {
        let digest = digest(&SHA256, list.as_os_str().as_encoded_bytes());
        let digits = digest.as_ref().iter().take(16);
        let name: String = digits.map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(name)
    }
}

fn is_own(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw()
}

/// Opens a file that nobody but this user can read or write, and that is no symbolic link.
fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    match metadata.is_file() && is_own(metadata.uid()) && metadata.mode() & 0o077 == 0 {
        true => Ok(file),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

fn read_key(path: &Path) -> io::Result<[u64; 3]> {
    let mut bytes = [0; KEY_BYTES];
    open_own(path)?.read_exact(&mut bytes)?;
    Ok(words(&bytes))
}

/// Makes the key; of two proxies that start at once, one makes it and both use it.
fn make_key(path: &Path) -> io::Result<[u64; 3]> {
    let mut bytes = [0; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(&bytes)?;
    if let Err(error) = file.persist_noclobber(path) {
        if let Ok(key) = read_key(path) {
            return Ok(key);
        }
        // What is there is no key, or not only the user's. Images made with it are not believed any more.
        error.file.persist(path)?;
    }
    Ok(words(&bytes))
}

fn words(bytes: &[u8; KEY_BYTES]) -> [u64; 3] {
    let (words, _) = bytes.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    std::array::from_fn(|_| words.next().unwrap_or(0))
}

/// An image that is open.
#[derive(Debug)]
struct Opened {
    file: File,
    size: u64,
}

impl Opened {
    fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for Opened {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn saved(images: &ListImages, list: &Path) -> Vec<u8> {
        let image = images
            .save(list, &[7; 64], &|stamp, out| out.write_all(stamp))
            .unwrap();
        let mut bytes = vec![0; image.size() as usize];
        image.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn what_is_saved_is_found_under_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("a/lists");
        let (first, second) = (
            ListImages::open(&dir).unwrap(),
            ListImages::open(&dir).unwrap(),
        );
        assert_eq!(first.key(), second.key());
        assert!(first.key().iter().all(|word| *word != 0));
        let list = Path::new("/lists/long");
        assert!(second.find(list).is_err());
        assert_eq!(saved(&first, list), [7; 64]);
        assert_eq!(second.find(list).unwrap().size(), 64);
        assert!(second.find(Path::new("/lists/other")).is_err());
        for entry in fs::read_dir(&dir).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_is_no_key_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let mut keys = vec![ListImages::open(dir.path()).unwrap().key()];
        let spoilt: [fn(&Path); 4] = [
            |path| fs::remove_file(path).unwrap(),
            |path| fs::write(path, "short").unwrap(),
            |path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap(),
            |path| {
                let elsewhere = path.with_file_name("elsewhere");
                fs::rename(path, &elsewhere).unwrap();
                symlink(&elsewhere, path).unwrap();
            },
        ];
        for spoil in spoilt {
            spoil(&path);
            let key = ListImages::open(dir.path()).unwrap().key();
            assert!(!keys.contains(&key));
            assert_eq!(ListImages::open(dir.path()).unwrap().key(), key);
            keys.push(key);
        }
    }

    #[test]
    fn what_others_could_have_written_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let images = ListImages::open(dir.path()).unwrap();
        let list = Path::new("/lists/long");
        saved(&images, list);
        let image = images.path(list);

        fs::set_permissions(&image, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(images.find(list).is_err(), "its group can read it");
        fs::set_permissions(&image, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(images.find(list).is_ok());

        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&image, &elsewhere).unwrap();
        symlink(&elsewhere, &image).unwrap();
        assert!(images.find(list).is_err(), "it is a link");
        // A link is replaced, not written through.
        saved(&images, list);
        assert!(images.find(list).is_ok());
        assert!(image.symlink_metadata().unwrap().is_file());

        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(
            ListImages::open(dir.path()).is_err(),
            "its group can write there"
        );
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let images = ListImages::open(dir.path()).unwrap();
        let list = Path::new("/lists/long");
        saved(&images, list);
        let failed = images.save(list, &[8; 64], &|stamp, out| {
            out.write_all(stamp)?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(failed.is_err());
        assert_eq!(images.find(list).unwrap().size(), 64);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
