//! Which modules the guest needs, and in which order they load.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

/// Without these a sandbox does not start. Each may also be built into the kernel.
const REQUIRED: [&str; 8] = [
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "virtiofs",
    "erofs",
    "overlay",
    "ext4",
];

/// Loaded when the kernel has them as modules: a source of entropy, checksums that erofs and ext4 look for, and what
/// tells the host which pages are free.
const OPTIONAL: [&str; 3] = ["crc32c_generic", "virtio_rng", "virtio_balloon"];

/// Loaded only in a sandbox whose template has a Docker daemon, before that starts: networks of containers, and what
/// both kinds of `iptables` need for the names of containers (Docker's resolver at 127.0.0.11 is a translated address).
const FOR_DOCKER: [&str; 13] = [
    "bridge",
    "veth",
    "nf_tables",
    "nft_compat",
    "nft_chain_nat",
    "ip_tables",
    "iptable_nat",
    "iptable_filter",
    "xt_nat",
    "xt_tcpudp",
    "xt_MASQUERADE",
    "xt_conntrack",
    "xt_addrtype",
];

/// Names the wanted set of modules; a kernel cached for another set is not reused.
pub(super) fn set_id() -> String {
    let digest = Sha256::digest(format!("{REQUIRED:?}{OPTIONAL:?}{FOR_DOCKER:?}"));
    digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What a kernel has, read from its `modules.dep` and `modules.builtin`.
pub(super) struct Index<'a> {
    dependencies: HashMap<String, (&'a str, Vec<&'a str>)>,
    builtin: HashSet<String>,
}

impl<'a> Index<'a> {
    /// Parses the texts of `modules.dep` and `modules.builtin` (modules.dep(5)).
    pub(super) fn parse(dep: &'a str, builtin: &str) -> Self {
        let entry = |line: &'a str| {
            let (path, needs) = line.split_once(':')?;
            Some((
                module_name(path),
                (path, needs.split_whitespace().collect()),
            ))
        };
        Self {
            dependencies: dep.lines().filter_map(entry).collect(),
            builtin: builtin.lines().map(module_name).collect(),
        }
    }

    /// Paths of the wanted modules and all they need, dependencies first; or the name of the first one missing.
    pub(super) fn load_order(&self) -> Result<Vec<&'a str>, &'static str> {
        let mut order = Vec::new();
        for name in OPTIONAL {
            self.push(name, &mut order);
        }
        for name in REQUIRED {
            if !self.push(name, &mut order) && !self.builtin.contains(name) {
                return Err(name);
            }
        }
        Ok(order)
    }

    /// The same for Docker's modules, without those that are in `loaded`. What this kernel lacks is left out.
    pub(super) fn docker_order(&self, loaded: &[&'a str]) -> Vec<&'a str> {
        let mut order = loaded.to_vec();
        for name in FOR_DOCKER {
            self.push(name, &mut order);
        }
        order.split_off(loaded.len())
    }

    /// Appends `name` after what it needs; false when it is not a module of this kernel.
    fn push(&self, name: &str, order: &mut Vec<&'a str>) -> bool {
        let Some((path, needs)) = self.dependencies.get(name) else {
            return false;
        };
        // depmod writes the closure with the deepest dependency last.
        for next in needs.iter().rev().chain([path]) {
            if !order.contains(next) {
                order.push(next);
            }
        }
        true
    }
}

/// `kernel/drivers/char/hw_random/virtio-rng.ko.xz` is the module `virtio_rng`.
pub(super) fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split(".ko").next().unwrap_or(file);
    stem.trim().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/fs/fuse/virtiofs.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz kernel/fs/fuse/fuse.ko.xz
kernel/fs/fuse/fuse.ko.xz:
kernel/fs/overlayfs/overlay.ko.xz:
kernel/fs/erofs/erofs.ko.xz: kernel/lib/libcrc32c.ko.xz
kernel/drivers/virtio/virtio_mmio.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz
kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz
";
    const BUILTIN: &str = "kernel/fs/ext4/ext4.ko\nkernel/drivers/virtio/virtio_pci.ko\n\
                           kernel/drivers/block/virtio_blk.ko\nkernel/drivers/char/virtio_console.ko\n";

    #[test]
    fn dependencies_come_first_and_once() {
        let order = Index::parse(DEP, BUILTIN).load_order().unwrap();
        let names: Vec<String> = order.into_iter().map(module_name).collect();
        let wanted = [
            "virtio_ring",
            "virtio",
            "virtio_rng",
            "virtio_mmio",
            "fuse",
            "virtiofs",
            "libcrc32c",
            "erofs",
            "overlay",
        ];
        assert_eq!(names, wanted);
    }

    #[test]
    fn dockers_modules_follow_without_those_that_are_loaded() {
        let dep = format!(
            "{DEP}kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko\n\
             kernel/net/netfilter/nf_tables.ko: kernel/lib/libcrc32c.ko.xz\n"
        );
        let index = Index::parse(&dep, BUILTIN);
        let order = index.docker_order(&index.load_order().unwrap());
        let names: Vec<String> = order.into_iter().map(module_name).collect();
        assert_eq!(names, ["llc", "stp", "bridge", "nf_tables"]);
    }

    #[test]
    fn a_missing_module_is_named() {
        let without = BUILTIN.replace("kernel/fs/ext4/ext4.ko\n", "");
        assert_eq!(Index::parse(DEP, &without).load_order(), Err("ext4"));
    }
}
