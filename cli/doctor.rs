//! What a machine needs to run sandboxes, and whether it has it.

use std::io;
use std::path::Path;

use serde::Serialize;
use vmshim::cache::Cache;
use vmshim::container;
use vmshim::engine::accel::{self, Findings};
use vmshim::kernel;
use vmshim::spec::AccelChoice;
use vmshim::{space, tool};

use crate::state::Paths;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Good,
    /// It works without, but slower or with less.
    Warning,
    /// No sandbox starts.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) severity: Severity,
    pub(crate) detail: String,
    /// The Debian package that brings it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) package: Option<&'static str>,
    /// The command that mends it, if a package does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// Programs of the host: name, package, what for, and whether there is no sandbox without it.
const PROGRAMS: [(&str, &str, &str, Severity); 8] = [
    (
        "qemu-system-x86_64",
        "qemu-system-x86",
        "runs the microVM",
        Severity::Missing,
    ),
    (
        "mke2fs",
        "e2fsprogs",
        "makes a sandbox's disk",
        Severity::Missing,
    ),
    (
        "depmod",
        "kmod",
        "reads a kernel's list of modules",
        Severity::Missing,
    ),
    (
        "mkfs.erofs",
        "erofs-utils",
        "packs templates from packages",
        Severity::Missing,
    ),
    (
        "mmdebstrap",
        "mmdebstrap",
        "builds templates from packages",
        Severity::Missing,
    ),
    (
        "newuidmap",
        "uidmap",
        "builds templates without root",
        Severity::Warning,
    ),
    (
        "npm",
        "npm",
        "fetches agents for their templates",
        Severity::Warning,
    ),
    ("git", "git", "tells who commits", Severity::Warning),
];

/// The free space below which a first start is likely to fail, in MiB.
const LEAST_FREE_MIB: u64 = 4096;

/// Looks at everything.
pub(crate) fn examine(paths: &Paths) -> Vec<Finding> {
    let machine = [
        processor(paths),
        fences(),
        hiding(container::can_hide()),
        folder("state", &paths.sandboxes()),
        folder("cache", paths.cache()),
        guest_kernel(paths),
    ];
    programs(tool::installed).chain(machine).collect()
}

/// The programs of the host, as `is_installed` knows them.
fn programs(is_installed: impl Fn(&str) -> bool) -> impl Iterator<Item = Finding> {
    PROGRAMS
        .into_iter()
        .map(move |(program, package, purpose, severity)| {
            if is_installed(program) {
                return finding(program, Severity::Good, purpose);
            }
            let detail = format!("not installed; it {purpose}");
            Finding {
                package: Some(package),
                ..finding(program, severity, detail)
            }
        })
}

/// The one command that installs every package that is missing.
pub(crate) fn remedy(findings: &[Finding]) -> Option<String> {
    let mut packages: Vec<&str> = findings
        .iter()
        .filter_map(|finding| finding.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    let sudo = if rustix::process::geteuid().is_root() {
        ""
    } else {
        "sudo "
    };
    (!packages.is_empty()).then(|| match tool::installed("apt-get") {
        true => format!("{sudo}apt-get install -y {}", packages.join(" ")),
        false => format!(
            "install with this system's package manager: {}",
            packages.join(" ")
        ),
    })
}

fn finding(what: &str, severity: Severity, detail: impl Into<String>) -> Finding {
    Finding {
        what: what.to_owned(),
        severity,
        detail: detail.into(),
        package: None,
        fix: None,
    }
}

/// KVM, or why there is none.
fn processor(paths: &Paths) -> Finding {
    let findings = Findings::gather(paths.cache());
    let Ok((_, Some(note))) = accel::decide(AccelChoice::Auto, &findings) else {
        return finding(
            "KVM",
            Severity::Good,
            "runs the microVM's processor at full speed",
        );
    };
    let closed = Path::new("/dev/kvm").exists() && findings.device.is_err() && findings.processor;
    Finding {
        fix: closed.then(|| "sudo usermod -aG kvm \"$USER\"   # then log in again".to_owned()),
        ..finding("KVM", Severity::Warning, note)
    }
}

/// What keeps a hostile guest inside its folders: one of two is enough.
fn fences() -> Finding {
    let landlock = Path::new("/sys/kernel/security/landlock").exists() || lsm_has_landlock();
    let namespaces = tool::can_leave() || rustix::process::geteuid().is_root();
    match (landlock, namespaces) {
        (true, true) => finding("confinement", Severity::Good, "Landlock and namespaces"),
        (true, false) => finding(
            "confinement",
            Severity::Good,
            "Landlock; this user may make no namespaces",
        ),
        (false, true) => finding(
            "confinement",
            Severity::Good,
            "namespaces; the kernel shows no Landlock",
        ),
        (false, false) => Finding {
            fix: Some("sudo sysctl kernel.unprivileged_userns_clone=1".to_owned()),
            ..finding(
                "confinement",
                Severity::Missing,
                "neither Landlock nor user namespaces",
            )
        },
    }
}

/// What `--hide` takes in a container; a microVM hides without.
fn hiding(fuse: io::Result<()>) -> Finding {
    let Err(error) = fuse else {
        return finding("FUSE", Severity::Good, "hides files from containers");
    };
    let fix = match error.kind() {
        io::ErrorKind::PermissionDenied => "sudo chmod 666 /dev/fuse",
        _ => "sudo modprobe fuse",
    };
    Finding {
        fix: Some(fix.to_owned()),
        ..finding(
            "FUSE",
            Severity::Warning,
            format!("no `--hide` in containers: `/dev/fuse` cannot be opened: {error}"),
        )
    }
}

fn lsm_has_landlock() -> bool {
    let modules = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    modules.split(',').any(|module| module.trim() == "landlock")
}

/// A folder that is written to, and the room there.
fn folder(what: &str, dir: &Path) -> Finding {
    let what = format!("{what} folder");
    let there = dir
        .ancestors()
        .find(|dir| dir.is_dir())
        .unwrap_or(Path::new("/"));
    if rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_err() {
        let detail = format!("`{}` cannot be written to", there.display());
        return finding(&what, Severity::Missing, detail);
    }
    match space::require(there, LEAST_FREE_MIB << 20) {
        Ok(()) => finding(&what, Severity::Good, dir.display().to_string()),
        Err(full) => Finding {
            fix: full.help(),
            ..finding(&what, Severity::Warning, full.to_string())
        },
    }
}

fn guest_kernel(paths: &Paths) -> Finding {
    let cached = kernel::is_cached(&Cache::new(paths.cache()));
    match cached {
        true => finding("guest kernel", Severity::Good, "in the cache"),
        false => finding(
            "guest kernel",
            Severity::Good,
            "to be taken from the distribution at the first start",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_installs_what_is_missing() {
        let all: Vec<Finding> = programs(|_| true).collect();
        assert!(all.iter().all(|finding| finding.severity == Severity::Good));
        assert_eq!(remedy(&all), None);

        let missing = ["mke2fs", "npm"];
        let some: Vec<Finding> = programs(|program| !missing.contains(&program)).collect();
        let told: Vec<(&str, Severity)> = some
            .iter()
            .filter(|finding| finding.package.is_some())
            .map(|finding| (finding.what.as_str(), finding.severity))
            .collect();
        let wanted = [("mke2fs", Severity::Missing), ("npm", Severity::Warning)];
        assert_eq!(told, wanted);
        let said = remedy(&some).unwrap();
        assert!(said.ends_with(" e2fsprogs npm"), "{said}");
    }

    #[test]
    fn one_command_opens_the_device_that_hiding_takes() {
        use io::ErrorKind::{NotFound, PermissionDenied};
        assert_eq!(hiding(Ok(())).severity, Severity::Good);
        for (kind, fix) in [
            (NotFound, "sudo modprobe fuse"),
            (PermissionDenied, "sudo chmod 666 /dev/fuse"),
        ] {
            let found = hiding(Err(kind.into()));
            assert_eq!(found.severity, Severity::Warning);
            assert_eq!(found.fix.as_deref(), Some(fix));
        }
    }
}
