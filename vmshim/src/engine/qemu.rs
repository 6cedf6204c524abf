//! QEMU as the engine, on its `microvm` machine: half a second less to boot than `pc`, and a tenth of the devices
//! for a guest to attack.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::{Accel, Engine, Machine, share_tag, tsc};

/// The program's name.
pub const PROGRAM: &str = "qemu-system-x86_64";
/// The Debian and Ubuntu package that brings it.
pub const PACKAGE: &str = "qemu-system-x86";

/// QEMU, found on the search path.
#[derive(Clone, Copy, Debug)]
pub struct Qemu {
    tsc: tsc::Measurement,
}

impl Qemu {
    /// Begins to measure what QEMU must be told about this machine if it emulates.
    pub fn new() -> Self {
        Self {
            tsc: tsc::Measurement::begin(),
        }
    }

    fn kernel_line(self, accel: Accel) -> String {
        // panic=-1 and reboot=t end the process at once when the guest's kernel gives up.
        // The kernel's own tests of its ciphers cost an emulated guest a tenth of a second.
        let line = "console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests";
        match accel {
            Accel::Kvm => line.to_owned(),
            Accel::Tcg => format!("{line} tsc_early_khz={}", self.tsc.khz()),
        }
    }
}

impl Default for Qemu {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine for Qemu {
    fn argv(&self, machine: &Machine) -> Vec<OsString> {
        let mut argv = Argv(vec![PROGRAM.into()]);
        argv.isolation();
        argv.machine(machine);
        argv.flag("-kernel", &machine.kernel);
        argv.flag("-initrd", &machine.initramfs);
        argv.flag("-append", self.kernel_line(machine.accel));
        // The console is the process's own output: nothing to connect to, and a slow reader holds the guest back.
        argv.flag("-chardev", "stdio,id=console,signal=off");
        argv.flag("-serial", "chardev:console");
        argv.disk("template", &machine.template, ",read-only=on");
        argv.disk("data", &machine.data_disk, ",discard=unmap");
        argv.flag("-device", "virtio-rng-device");
        // Never inflated: only so that the guest says which pages it has freed, and the host has them back.
        argv.flag("-device", "virtio-balloon-device,free-page-reporting=on");
        argv.flag("-device", "virtio-serial-device");
        argv.port("control", &machine.control, wire::CONTROL_PORT);
        argv.port("data", &machine.data, wire::DATA_PORT);
        for (n, socket) in machine.shares.iter().enumerate() {
            argv.share(&share_tag(n), socket);
        }
        argv.0
    }

    fn reads(&self) -> Vec<PathBuf> {
        // The program, its libraries and loader, its firmware, wherever a distribution keeps them.
        [
            "/usr",
            "/lib",
            "/lib64",
            "/bin",
            "/nix/store",
            "/gnu/store",
            "/etc/ld.so.cache",
            "/etc/qemu",
        ]
        .map(PathBuf::from)
        .into()
    }
}

struct Argv(Vec<OsString>);

impl Argv {
    fn flag(&mut self, flag: &str, value: impl AsRef<OsStr>) {
        self.0.extend([flag.into(), value.as_ref().to_owned()]);
    }

    fn isolation(&mut self) {
        for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
            self.0.push(flag.into());
        }
        self.flag("-display", "none");
        // QEMU's own system call filter: no new programs, no privilege, no old system calls.
        self.flag(
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        );
    }

    fn machine(&mut self, machine: &Machine) {
        let cpu = match machine.accel {
            Accel::Kvm => ["kvm", "host"],
            Accel::Tcg => ["tcg", "max"],
        };
        // Core files must not hold the guest's memory; virtiofs needs it shared with its server.
        self.flag(
            "-machine",
            "microvm,rtc=on,acpi=on,dump-guest-core=off,memory-backend=ram",
        );
        self.flag("-accel", cpu[0]);
        self.flag("-cpu", cpu[1]);
        self.flag("-smp", machine.cpus.to_string());
        let size = machine.memory_mib;
        self.flag("-m", size.to_string());
        self.flag(
            "-object",
            format!("memory-backend-memfd,id=ram,size={size}M,share=on"),
        );
    }

    fn disk(&mut self, serial: &str, path: &Path, more: &str) {
        let mut drive = OsString::from(format!("if=none,format=raw,id={serial}{more},file="));
        drive.push(value(path));
        self.flag("-drive", drive);
        self.flag(
            "-device",
            // A full disk on the host is an error for the guest to report, not a reason to freeze it for ever.
            format!("virtio-blk-device,drive={serial},serial={serial},werror=report,rerror=report"),
        );
    }

    fn port(&mut self, id: &str, socket: &Path, name: &str) {
        let mut chardev = OsString::from(format!("socket,id={id},server=on,wait=off,path="));
        chardev.push(value(socket));
        self.flag("-chardev", chardev);
        self.flag(
            "-device",
            format!("virtserialport,chardev={id},name={name}"),
        );
    }

    fn share(&mut self, tag: &str, socket: &Path) {
        let mut chardev = OsString::from(format!("socket,id={tag},path="));
        chardev.push(value(socket));
        self.flag("-chardev", chardev);
        self.flag(
            "-device",
            format!("vhost-user-fs-device,chardev={tag},tag={tag}"),
        );
    }
}

/// A path as the value of a QEMU option, where a comma would begin the next one.
fn value(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::spec;

    fn argv(accel: Accel) -> String {
        let mut machine = Machine::new(&spec(), accel);
        machine.template = "/a,b/root.erofs".into();
        let argv = Qemu::new().argv(&machine);
        let words: Vec<&str> = argv.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ").replace(" -", "\n-")
    }

    /// The frequency in an emulated machine's command line.
    fn khz(argv: &str) -> &str {
        let (_, rest) = argv.split_once("tsc_early_khz=").unwrap();
        rest.split_whitespace().next().unwrap()
    }

    #[test]
    fn emulated() {
        let wanted = "\
qemu-system-x86_64
-nodefaults
-no-user-config
-no-reboot
-display none
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-machine microvm,rtc=on,acpi=on,dump-guest-core=off,memory-backend=ram
-accel tcg
-cpu max
-smp 2
-m 1024
-object memory-backend-memfd,id=ram,size=1024M,share=on
-kernel /cache/kernel
-initrd /cache/initramfs
-append console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests tsc_early_khz=KHZ
-chardev stdio,id=console,signal=off
-serial chardev:console
-drive if=none,format=raw,id=template,read-only=on,file=/a,,b/root.erofs
-device virtio-blk-device,drive=template,serial=template,werror=report,rerror=report
-drive if=none,format=raw,id=data,discard=unmap,file=/state/data.ext4
-device virtio-blk-device,drive=data,serial=data,werror=report,rerror=report
-device virtio-rng-device
-device virtio-balloon-device,free-page-reporting=on
-device virtio-serial-device
-chardev socket,id=control,server=on,wait=off,path=/run/sandbox/abc/con
-device virtserialport,chardev=control,name=sandbox.control
-chardev socket,id=data,server=on,wait=off,path=/run/sandbox/abc/dat
-device virtserialport,chardev=data,name=sandbox.data
-chardev socket,id=fs0,path=/run/sandbox/abc/fs0
-device vhost-user-fs-device,chardev=fs0,tag=fs0";
        let told = argv(Accel::Tcg);
        assert!(khz(&told).parse::<u64>().unwrap() > 100_000, "{told}");
        assert_eq!(told, wanted.replace("KHZ", khz(&told)));
    }

    #[test]
    fn with_kvm_only_processor_and_clock_differ() {
        let emulated = argv(Accel::Tcg);
        let wanted = emulated
            .replace("-accel tcg\n-cpu max", "-accel kvm\n-cpu host")
            .replace(&format!(" tsc_early_khz={}", khz(&emulated)), "");
        assert_eq!(argv(Accel::Kvm), wanted);
    }

    #[test]
    fn no_row_gives_the_guest_a_network_device() {
        for accel in [Accel::Tcg, Accel::Kvm] {
            let argv = argv(accel);
            for word in ["-netdev", "-nic", "-net", "virtio-net", "vsock", "9p"] {
                assert!(!argv.contains(word), "{word}");
            }
            assert!(argv.contains("-nodefaults"), "QEMU adds a NIC by default");
        }
    }
}
