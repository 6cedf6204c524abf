//! The container as the OCI runtime specification describes one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Error, folders, root_dir};
use crate::spec::{Share, Spec};

/// Where the guest program is inside.
const INIT: &str = "/.sandbox-init";

/// What root may do inside: what Docker allows, and to set up its own, empty network.
const CAPABILITIES: [&str; 15] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// System calls that programs in a container have no use for and attackers of the kernel do.
const REFUSED: [&str; 46] = [
    "acct",
    "add_key",
    "bpf",
    "clock_adjtime",
    "clock_settime",
    "create_module",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "process_madvise",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
    "vhangup",
];

/// A user namespace gives back every capability; without one, other namespaces can't be made (clone(2)).
const CLONE_NEWUSER: u64 = 0x1000_0000;

/// Files of the kernel that tell of the host, hidden.
const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/firmware",
];

/// Files of the kernel that steer the host. For root's containers the agent has root's number.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Writes the bundle's files to `dir` and returns it.
pub fn write(spec: &Spec, dir: &Path) -> Result<PathBuf, Error> {
    let failed = || Error::doing("write the container's description");
    fs::create_dir_all(dir).map_err(failed())?;
    let init = dir.join("init");
    fs::write(&init, crate::GUEST_INIT.program).map_err(failed())?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).map_err(failed())?;
    let config = config(spec, &init).to_string();
    fs::write(dir.join("config.json"), config).map_err(failed())?;
    Ok(dir.to_owned())
}

fn config(spec: &Spec, init: &Path) -> Value {
    // The runtime itself runs in the user namespace.
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    json!({
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": { "path": root_dir(&spec.state_dir).join("root") },
        "process": {
            "args": [INIT, "container"],
            "cwd": "/",
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "user": { "uid": 0, "gid": 0 },
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": CAPABILITIES,
                "permitted": CAPABILITIES,
            },
        },
        "mounts": mounts(spec, init),
        "linux": {
            "namespaces": namespaces.map(|kind| json!({ "type": kind })),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "seccomp": seccomp(),
        },
    })
}

fn mounts(spec: &Spec, init: &Path) -> Vec<Value> {
    let kernel = |path: &str, kind: &str, options: &[&str]| json!({ "destination": path, "type": kind, "source": kind, "options": options });
    let pts = [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
        "gid=5",
    ];
    let mut mounts = vec![
        kernel("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        kernel(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=64k"],
        ),
        kernel("/dev/pts", "devpts", &pts),
        kernel(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777"],
        ),
        kernel("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        kernel("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        kernel("/run", "tmpfs", &["nosuid", "nodev", "mode=755"]),
        bind(init, INIT, &["ro", "nosuid", "nodev"]),
    ];
    mounts.extend(
        spec.shares
            .iter()
            .enumerate()
            .map(|(n, one)| share(spec, n, one)),
    );
    mounts
}

fn share(spec: &Spec, n: usize, share: &Share) -> Value {
    let mode = if share.read_only { "ro" } else { "rw" };
    let source = match folders::is_served(share) {
        true => folders::place(&spec.runtime_dir, n),
        false => share.host.clone(),
    };
    bind(
        &source,
        &share.guest.display().to_string(),
        &[mode, "nosuid", "nodev"],
    )
}

fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    let options = [&["bind"], options].concat();
    json!({ "destination": destination, "type": "bind", "source": source, "options": options })
}

fn seccomp() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            { "names": REFUSED.as_slice(), "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EPERM },
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": libc::EPERM,
                "args": [{
                    "index": 0,
                    "value": CLONE_NEWUSER,
                    "valueTwo": CLONE_NEWUSER,
                    "op": "SCMP_CMP_MASKED_EQ",
                }],
            },
            // Its flags are in memory, where no filter can look; programs then fall back to clone.
            { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS },
        ],
    })
}
