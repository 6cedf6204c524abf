//! Whether the processor can run the guest (KVM), and what is remembered when it turned out that it can't.
//!
//! That `/dev/kvm` opens and makes a VM is not enough: some hosts are VMs themselves whose KVM accepts a guest in
//! which a stock kernel never starts. So the processor must claim virtualisation too, and the first boot is watched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::spec::AccelChoice;

/// How the guest's instructions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// By the processor.
    Kvm,
    /// By emulation.
    Tcg,
}

/// KVM was demanded and does not work here.
#[derive(Debug, thiserror::Error)]
#[error("KVM does not work on this machine: {reason}")]
pub struct Error {
    reason: String,
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        Some("leave the choice to `auto`, or enable virtualisation and access to `/dev/kvm`".into())
    }
}

/// What a machine says about KVM.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Why `/dev/kvm` can't make a VM, if it can't.
    pub device: Result<(), String>,
    /// Whether the processor claims `vmx` or `svm`.
    pub processor: bool,
    /// Why an earlier boot gave KVM up, if one did.
    pub remembered: Option<String>,
}

impl Findings {
    /// Asks this machine. `cache_dir` is where [`remember_failure`] wrote.
    pub fn gather(cache_dir: &Path) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            device: probe_device(),
            processor: claims_virtualisation(&cpuinfo),
            remembered: remembered(cache_dir),
        }
    }

    fn verdict(&self) -> Result<(), String> {
        self.device.clone()?;
        if !self.processor {
            return Err("the processor has neither `vmx` nor `svm`".to_owned());
        }
        self.remembered.clone().map_or(Ok(()), Err)
    }
}

/// Decides for `choice`; with emulation by necessity comes the reason, for the person to know.
pub fn decide(choice: AccelChoice, findings: &Findings) -> Result<(Accel, Option<String>), Error> {
    match (choice, findings.verdict()) {
        (AccelChoice::Tcg, _) => Ok((Accel::Tcg, None)),
        (AccelChoice::Auto | AccelChoice::Kvm, Ok(())) => Ok((Accel::Kvm, None)),
        (AccelChoice::Auto, Err(reason)) => Ok((Accel::Tcg, Some(emulating(&reason)))),
        (AccelChoice::Kvm, Err(reason)) => Err(Error { reason }),
    }
}

/// The one line said when the guest is emulated because KVM does not work.
pub fn emulating(reason: &str) -> String {
    format!("running without KVM, which is slower: {reason}")
}

/// Remembers on this machine that KVM did not start a guest. A new kernel of the host gets a new try.
pub fn remember_failure(cache_dir: &Path, reason: &str) -> io::Result<()> {
    let path = memory(cache_dir);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let record = Record {
        host: host_kernel(),
        reason: reason.to_owned(),
    };
    let beside = path.with_extension(format!("{}", std::process::id()));
    fs::write(&beside, serde_json::to_vec(&record)?)?;
    fs::rename(&beside, &path)
}

#[derive(Serialize, Deserialize)]
struct Record {
    /// The host's kernel at that time.
    host: String,
    reason: String,
}

fn remembered(cache_dir: &Path) -> Option<String> {
    let record: Record = serde_json::from_slice(&fs::read(memory(cache_dir)).ok()?).ok()?;
    (record.host == host_kernel()).then_some(record.reason)
}

fn memory(cache_dir: &Path) -> PathBuf {
    cache_dir.join("machine/kvm.json")
}

fn host_kernel() -> String {
    let name = rustix::system::uname();
    format!(
        "{} {}",
        name.release().to_string_lossy(),
        name.version().to_string_lossy()
    )
}

fn probe_device() -> Result<(), String> {
    let kvm = kvm_ioctls::Kvm::new().map_err(|errno| match errno.errno() {
        2 => "there is no `/dev/kvm`".to_owned(),
        13 => "`/dev/kvm` may not be opened by this user".to_owned(),
        _ => format!("`/dev/kvm` can't be opened: {errno}"),
    })?;
    match kvm.create_vm() {
        Ok(_) => Ok(()),
        Err(errno) => Err(format!("`/dev/kvm` makes no VM: {errno}")),
    }
}

fn claims_virtualisation(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| {
            line.split_whitespace()
                .any(|flag| flag == "vmx" || flag == "svm")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(device: bool, processor: bool, remembered: Option<&str>) -> Findings {
        Findings {
            device: if device {
                Ok(())
            } else {
                Err("there is no `/dev/kvm`".to_owned())
            },
            processor,
            remembered: remembered.map(str::to_owned),
        }
    }

    #[test]
    fn decision_rows() {
        use AccelChoice::{Auto, Kvm, Tcg};
        let good = findings(true, true, None);
        let rows = [
            (Auto, &good, Ok((Accel::Kvm, None))),
            (Kvm, &good, Ok((Accel::Kvm, None))),
            (Tcg, &good, Ok((Accel::Tcg, None))),
            (
                Auto,
                &findings(false, true, None),
                Ok((Accel::Tcg, Some("no `/dev/kvm`"))),
            ),
            (
                Auto,
                &findings(true, false, None),
                Ok((Accel::Tcg, Some("neither `vmx`"))),
            ),
            (
                Auto,
                &findings(true, true, Some("it hung")),
                Ok((Accel::Tcg, Some("it hung"))),
            ),
            (Kvm, &findings(true, false, None), Err("neither `vmx`")),
            (Tcg, &findings(false, false, None), Ok((Accel::Tcg, None))),
        ];
        for (choice, findings, wanted) in rows {
            match (decide(choice, findings), wanted) {
                (Ok((accel, note)), Ok((wanted, part))) => {
                    assert_eq!(accel, wanted);
                    assert_eq!(note.is_some(), part.is_some());
                    assert!(note.unwrap_or_default().contains(part.unwrap_or_default()));
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, wanted) => panic!("{got:?} for {wanted:?}"),
            }
        }
    }

    #[test]
    fn cpuinfo_rows() {
        let rows = [
            ("flags\t\t: fpu vmx sse", true),
            ("flags\t\t: fpu svm sse", true),
            ("flags\t\t: fpu vmmcall sse\nvmx flags\t: vnmi", false),
            ("", false),
        ];
        for (text, wanted) in rows {
            assert_eq!(claims_virtualisation(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_failure_is_remembered_until_the_hosts_kernel_changes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(remembered(dir.path()), None);
        remember_failure(dir.path(), "no sign of life").unwrap();
        assert_eq!(remembered(dir.path()).as_deref(), Some("no sign of life"));
        let text = fs::read_to_string(memory(dir.path())).unwrap();
        fs::write(memory(dir.path()), text.replace(&host_kernel(), "another")).unwrap();
        assert_eq!(remembered(dir.path()), None);
    }
}
