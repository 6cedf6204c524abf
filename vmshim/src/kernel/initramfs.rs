//! The initial file system: the guest's init and the kernel's modules, in a cpio archive.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cpio::newc::Builder;

use super::tree::DOCKER;
use super::{Error, Kernel};
use crate::cache::Cache;

/// The cache folder for initial file systems.
const KIND: &str = "initramfs";

/// Bump when the archive is laid out anew.
const GENERATION: u32 = 2;

/// A program to be PID 1.
#[derive(Clone, Copy, Debug)]
pub struct Init {
    /// Tells it from every other.
    pub id: &'static str,
    /// Its file.
    pub program: &'static [u8],
}

/// Makes the initial file system for `kernel` with `init` as PID 1, or finds it in the cache by what it is made of.
///
/// COST: the archive is not compressed; unpacking costs an emulated guest more than reading 4 MB costs the host.
pub fn initramfs(cache: &Cache, kernel: &Kernel, init: Init) -> Result<PathBuf, Error> {
    let of_kernel = kernel.dir.file_name().unwrap_or_default().to_string_lossy();
    let name = format!("{of_kernel}-{}-g{GENERATION}", init.id);
    let dir = cache.ensure(KIND, &name, |draft| {
        let path = draft.join("initramfs.cpio");
        let bytes = archive(&kernel.modules(), init.program)?;
        fs::write(&path, bytes).map_err(Error::at(&path))
    })?;
    Ok(dir.join("initramfs.cpio"))
}

/// `/init`, and in `/modules` and `/modules/docker` each `order`, with a name a line, and the modules it names.
fn archive(modules: &Path, init: &[u8]) -> Result<Vec<u8>, Error> {
    let mut archive = Archive::default();
    archive.add("dev", 0o040_755, &[])?;
    archive.add_modules("modules", modules)?;
    archive.add_modules("modules/docker", &modules.join(DOCKER))?;
    archive.add("init", 0o100_755, init)?;
    cpio::newc::trailer(archive.bytes).map_err(Error::at(modules))
}

/// A growing archive. Inode numbers count up: equal numbers would mean hard links.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// The folder `from`, as far as its `order` names it, as the folder `to`.
    fn add_modules(&mut self, to: &str, from: &Path) -> Result<(), Error> {
        let read = |path: &Path| fs::read(path).map_err(Error::at(path));
        let list = from.join("order");
        let order = fs::read_to_string(&list).map_err(Error::at(&list))?;
        self.add(to, 0o040_755, &[])?;
        self.add(&format!("{to}/order"), 0o100_644, order.as_bytes())?;
        for name in order.lines() {
            self.add(&format!("{to}/{name}"), 0o100_644, &read(&from.join(name))?)?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<(), Error> {
        self.write(name, mode, bytes)
            .map_err(Error::at(Path::new(name)))
    }

    fn write(&mut self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let entry = Builder::new(name).ino(self.inode).mode(mode).nlink(1);
        let mut writer = entry.write(std::mem::take(&mut self.bytes), size);
        writer.write_all(bytes)?;
        self.bytes = writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Name, mode and content of every entry of a newc archive.
    fn list(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            let mut reader = cpio::newc::Reader::new(bytes).unwrap();
            if reader.entry().is_trailer() {
                return entries;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            entries.push((name, mode, content));
            bytes = reader.finish().unwrap();
        }
    }

    #[test]
    fn holds_init_and_the_modules_in_order() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("order"), "b.ko\na.ko\n").unwrap();
        fs::write(dir.path().join("a.ko"), "module a").unwrap();
        fs::write(dir.path().join("b.ko"), "module b").unwrap();
        fs::write(dir.path().join("unlisted.ko"), "no").unwrap();
        fs::create_dir(dir.path().join(DOCKER)).unwrap();
        fs::write(dir.path().join("docker/order"), "c.ko\n").unwrap();
        fs::write(dir.path().join("docker/c.ko"), "module c").unwrap();
        let entries = list(&archive(dir.path(), b"the init").unwrap());
        let wanted: [(&str, u32, &[u8]); 9] = [
            ("dev", 0o040_755, b""),
            ("modules", 0o040_755, b""),
            ("modules/order", 0o100_644, b"b.ko\na.ko\n"),
            ("modules/b.ko", 0o100_644, b"module b"),
            ("modules/a.ko", 0o100_644, b"module a"),
            ("modules/docker", 0o040_755, b""),
            ("modules/docker/order", 0o100_644, b"c.ko\n"),
            ("modules/docker/c.ko", 0o100_644, b"module c"),
            ("init", 0o100_755, b"the init"),
        ];
        let wanted: Vec<_> = wanted
            .map(|(name, mode, bytes)| (name.to_owned(), mode, bytes.to_vec()))
            .into();
        assert_eq!(entries, wanted);
    }

    #[test]
    fn is_made_once_for_a_kernel_and_an_init() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        let kernel = |name: &str| {
            let dir = dir.path().join(name);
            fs::create_dir_all(dir.join("modules/docker")).unwrap();
            fs::write(dir.join("modules/order"), "").unwrap();
            fs::write(dir.join("modules/docker/order"), "").unwrap();
            Kernel { dir }
        };
        let init = |id, program| Init { id, program };
        let first = initramfs(&cache, &kernel("6.1-a"), init("one", b"1")).unwrap();
        // A second start reads nothing: were it to look, it would not find the modules.
        fs::remove_dir_all(dir.path().join("6.1-a/modules")).unwrap();
        let again = Kernel {
            dir: dir.path().join("6.1-a"),
        };
        assert_eq!(initramfs(&cache, &again, init("one", b"1")).unwrap(), first);
        for (of, id) in [("6.1-a", "two"), ("6.2-a", "one")] {
            let other = initramfs(&cache, &kernel(of), init(id, b"2")).unwrap();
            assert_ne!(other, first, "{of} {id}");
        }
    }
}
