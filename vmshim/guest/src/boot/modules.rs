//! Kernel modules: everything virtio is one in a distribution's kernel, and so is what Docker's networks are made of.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, open, openat, unlinkat};
use rustix::io::Errno;
use rustix::system::finit_module;

use super::{BootError, Step};

/// What every sandbox loads.
const NEEDED: &str = "/modules";

/// What only a sandbox with Docker loads.
const FOR_DOCKER: &str = "/modules/docker";

/// In a folder of modules: a name a line, each behind those that it needs.
const ORDER: &str = "order";

/// Modules that wait in the initramfs, out of sight of the root that has covered it.
#[derive(Debug)]
pub struct Modules {
    folder: OwnedFd,
}

/// Loads what every sandbox needs. No list means a kernel that has everything built in.
pub(super) fn load_needed() -> Result<(), BootError> {
    match Modules::in_folder(NEEDED) {
        Some(modules) => modules.load().step("load the kernel's modules"),
        None => Ok(()),
    }
}

impl Modules {
    /// Those for Docker. To be asked for before the root is entered.
    pub(super) fn for_docker() -> Option<Self> {
        Self::in_folder(FOR_DOCKER)
    }

    fn in_folder(path: &str) -> Option<Self> {
        let folder = open(
            path,
            OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        folder.ok().map(|folder| Self { folder })
    }

    /// Loads them, and frees the memory that their files take: an initramfs stays in memory for the machine's life.
    pub fn load(self) -> io::Result<()> {
        let names = self.names()?;
        for name in names.lines() {
            let loaded = finit_module(self.open(name)?, c"", 0);
            if let Err(error) = loaded
                && error != Errno::EXIST
            {
                return Err(io::Error::other(format!("{name}: {error}")));
            }
        }
        self.free()
    }

    /// Frees the memory that their files take.
    pub fn free(self) -> io::Result<()> {
        for name in self.names()?.lines().chain([ORDER]) {
            unlinkat(&self.folder, name, AtFlags::empty())?;
        }
        Ok(())
    }

    fn names(&self) -> io::Result<String> {
        let mut names = String::new();
        File::from(self.open(ORDER)?).read_to_string(&mut names)?;
        Ok(names)
    }

    fn open(&self, name: &str) -> rustix::io::Result<OwnedFd> {
        openat(
            &self.folder,
            name,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
    }
}
