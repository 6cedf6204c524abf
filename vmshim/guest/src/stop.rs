//! Switching the machine off without losing what was written.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use rustix::mount::{FsPickFlags, MountFlags, UnmountFlags, fsconfig_reconfigure};
use rustix::mount::{fsconfig_set_flag, fspick, mount_remount, unmount};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::system::{RebootCommand, reboot};
use tokio::time::{Instant, sleep};

use crate::boot::{Booted, Machine};
use crate::console;

/// How often to look whether the last process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long to wait for what SIGKILL cannot end at once: processes within the kernel.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// Ends every process, unmounts every disk and powers off.
pub async fn stop(booted: &Booted, grace: Duration) {
    // A hang-up for shells, which ignore SIGTERM; SIGCONT so that stopped ones hear it.
    for signal in [Signal::TERM, Signal::HUP, Signal::CONT] {
        signal_all(signal);
    }
    if !all_ended_within(grace).await {
        signal_all(Signal::KILL);
        all_ended_within(KILL_PATIENCE).await;
    }
    rustix::fs::sync();
    let data = match &booted.machine {
        Machine::Vm { data, .. } => data,
        Machine::Container => exit(),
    };
    unmount_all();
    if let Err(error) = make_read_only(data) {
        console::error("the data disk is not clean", &std::io::Error::from(error));
    }
    power_off();
}

/// Ends a container: with its first process the kernel ends all others.
pub fn exit() -> ! {
    std::process::exit(0)
}

/// Signals every process but this one: group 1 means kill(2)'s -1.
fn signal_all(signal: Signal) {
    let _ = kill_process_group(Pid::INIT, signal); // there may be none
}

async fn all_ended_within(patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while processes().next().is_some() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(LOOK_AGAIN).await;
    }
    true
}

/// All processes except process 1 and those of the kernel, which have no program.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|&pid| pid != Pid::INIT && has_memory(pid))
}

/// Kernel threads have no memory, and zombies have none left.
fn has_memory(pid: Pid) -> bool {
    let stat = format!("/proc/{}/statm", pid.as_raw_nonzero());
    fs::read_to_string(stat).is_ok_and(|statm| !statm.starts_with("0 "))
}

/// Last mounted, first unmounted. What does not go is made harmless by [`make_read_only`].
fn unmount_all() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points: Vec<_> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    let keep = ["/", "/proc", "/sys", "/dev"];
    for point in points
        .into_iter()
        .rev()
        .filter(|point| !keep.contains(point))
    {
        let _ = unmount(unescape(point), UnmountFlags::DETACH);
    }
}

/// Blanks, tabs, newlines and backslashes stand as octal numbers in this file; see getmntent(3).
fn unescape(point: &str) -> String {
    let rows = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    rows.iter().fold(point.to_owned(), |point, (from, to)| {
        point.replace(from, to)
    })
}

/// The root first, because it writes to the data disk.
fn make_read_only(data: &OwnedFd) -> rustix::io::Result<()> {
    mount_remount("/", MountFlags::RDONLY, c"")?;
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let disk = fspick(data, "", flags)?;
    fsconfig_set_flag(&disk, "ro")?;
    fsconfig_reconfigure(&disk)
}

/// Powers off at once. Returns only if the kernel refuses.
pub fn power_off() -> ExitCode {
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    ExitCode::FAILURE
}
