//! Virtual machine monitors: how a machine is described, and what a monitor must be able to do with it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::spec::{Socket, Spec};

pub mod accel;
pub mod qemu;
mod tsc;

pub use accel::Accel;

/// A virtual machine as any monitor could build it. There is no network device to describe.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// How instructions are carried out.
    pub accel: Accel,
    /// The kernel image.
    pub kernel: PathBuf,
    /// The initial file system.
    pub initramfs: PathBuf,
    /// The disk with serial `template`, read-only.
    pub template: PathBuf,
    /// The disk with serial `data`.
    pub data_disk: PathBuf,
    /// The socket that the monitor makes for the port `sandbox.control`.
    pub control: PathBuf,
    /// The socket that the monitor makes for the port `sandbox.data`.
    pub data: PathBuf,
    /// Sockets of the servers of shared folders; the n-th has the tag `fs<n>`.
    pub shares: Vec<PathBuf>,
}

impl Machine {
    /// The machine that `spec` asks for.
    pub fn new(spec: &Spec, accel: Accel) -> Self {
        Self {
            cpus: spec.cpus,
            memory_mib: spec.memory_mib,
            accel,
            kernel: spec.kernel.clone(),
            initramfs: spec.initramfs.clone(),
            template: spec.template.clone(),
            data_disk: spec.data_disk.clone(),
            control: spec.socket(Socket::GuestControl),
            data: spec.socket(Socket::GuestData),
            shares: (0..spec.shares.len())
                .map(|n| spec.socket(Socket::Share(n)))
                .collect(),
        }
    }
}

/// The tag of the `n`-th shared folder.
pub fn share_tag(n: usize) -> String {
    format!("fs{n}")
}

/// A virtual machine monitor: a program that runs one machine, prints the guest's console on its standard output
/// and ends when the guest powers off.
pub trait Engine {
    /// The program and its arguments.
    fn argv(&self, machine: &Machine) -> Vec<OsString>;

    /// Files and folders, beyond those of the machine, that the program reads.
    fn reads(&self) -> Vec<PathBuf>;
}
