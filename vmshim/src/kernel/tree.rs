//! A file tree laid out like an installed kernel package, and what is copied out of it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::modules::{Index, module_name};
use super::{Error, bzimage};
use crate::tool::Tool;

const DEPMOD: Tool = Tool {
    program: "depmod",
    package: "kmod",
};

/// The folder of the modules that only Docker needs, beside those that every sandbox loads.
pub(super) const DOCKER: &str = "docker";

/// One kernel below a root: `boot/vmlinuz-RELEASE` and `lib/modules/RELEASE`.
pub(super) struct Tree {
    root: PathBuf,
    release: String,
    /// `lib/modules/RELEASE`, or `usr/lib/modules/RELEASE` in newer packages.
    modules: PathBuf,
}

impl Tree {
    /// The newest kernel below `root` that has modules.
    pub(super) fn only(root: &Path) -> Result<Self, Error> {
        let unusable = |missing: &str| Error::Unusable {
            root: root.to_owned(),
            missing: missing.to_owned(),
        };
        let mut releases: Vec<String> = fs::read_dir(root.join("boot"))
            .map_err(|_| unusable("there is no folder `boot`"))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned))
            .collect();
        releases.sort();
        let release = releases
            .pop()
            .ok_or_else(|| unusable("no `boot/vmlinuz-RELEASE`"))?;
        Self::release_in(root, release).ok_or_else(|| unusable("no `lib/modules` for its kernel"))
    }

    /// The running kernel of this machine, if its image is readable and all needed modules are installed.
    pub(super) fn host() -> Option<Self> {
        let release = rustix::system::uname().release().to_str().ok()?.to_owned();
        let tree = Self::release_in(Path::new("/"), release)?;
        fs::File::open(tree.image()).ok()?;
        let (dep, builtin) = tree.index_texts().ok()?;
        Index::parse(&dep, &builtin).load_order().ok()?;
        Some(tree)
    }

    fn release_in(root: &Path, release: String) -> Option<Self> {
        let modules = ["lib/modules", "usr/lib/modules"]
            .map(|folder| root.join(folder).join(&release))
            .into_iter()
            .find(|dir| dir.is_dir())?;
        Some(Self {
            root: root.to_owned(),
            release,
            modules,
        })
    }

    pub(super) fn release(&self) -> &str {
        &self.release
    }

    fn image(&self) -> PathBuf {
        self.root
            .join("boot")
            .join(format!("vmlinuz-{}", self.release))
    }

    /// Writes the kernel to `target`, unpacked where possible.
    pub(super) fn copy_image(&self, target: &Path) -> Result<(), Error> {
        let path = self.image();
        let image = fs::read(&path).map_err(Error::at(&path))?;
        let kernel = bzimage::vmlinux(&image).unwrap_or(image);
        fs::write(target, kernel).map_err(Error::at(target))
    }

    /// Writes the wanted modules and their `order` to the new folder `target`, uncompressed; those that only Docker
    /// needs likewise to [`DOCKER`] in it.
    pub(super) fn copy_modules(&self, target: &Path) -> Result<(), Error> {
        self.index_modules()?;
        let (dep, builtin) = self.index_texts()?;
        let index = Index::parse(&dep, &builtin);
        let order = index.load_order().map_err(|name| Error::Unusable {
            root: self.root.clone(),
            missing: format!("module `{name}` is missing"),
        })?;
        self.copy_set(&order, target)?;
        self.copy_set(&index.docker_order(&order), &target.join(DOCKER))
    }

    fn copy_set(&self, order: &[&str], target: &Path) -> Result<(), Error> {
        fs::create_dir(target).map_err(Error::at(target))?;
        let mut names = String::new();
        for path in order {
            let name = format!("{}.ko", module_name(path));
            let to = target.join(&name);
            fs::write(&to, self.read_module(path)?).map_err(Error::at(&to))?;
            names.push_str(&name);
            names.push('\n');
        }
        let list = target.join("order");
        fs::write(&list, names).map_err(Error::at(&list))
    }

    /// Packages carry no `modules.dep`; installing them would have made it.
    fn index_modules(&self) -> Result<(), Error> {
        if self.modules.join("modules.dep").is_file() {
            return Ok(());
        }
        // depmod looks for `lib/modules` below the base it is given, whichever of the two folders that is.
        let base = self.modules.ancestors().nth(3).unwrap_or(&self.root);
        DEPMOD.output(DEPMOD.command().arg("-b").arg(base).arg(&self.release))?;
        Ok(())
    }

    fn index_texts(&self) -> Result<(String, String), Error> {
        let read = |name: &str| {
            let path = self.modules.join(name);
            fs::read_to_string(&path).map_err(Error::at(&path))
        };
        Ok((read("modules.dep")?, read("modules.builtin")?))
    }

    fn read_module(&self, path: &str) -> Result<Vec<u8>, Error> {
        let path = self.modules.join(path);
        let file = fs::File::open(&path).map_err(Error::at(&path))?;
        let mut bytes = Vec::new();
        let read = match path.extension().and_then(|extension| extension.to_str()) {
            Some("xz") => lzma_rust2::XzReader::new(file, true).read_to_end(&mut bytes),
            Some("zst") => ruzstd::decoding::StreamingDecoder::new(file)
                .map_err(std::io::Error::other)
                .and_then(|mut reader| reader.read_to_end(&mut bytes)),
            _ => (&file).read_to_end(&mut bytes),
        };
        read.map_err(Error::at(&path))?;
        Ok(bytes)
    }
}
