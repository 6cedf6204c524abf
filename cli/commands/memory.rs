//! How much memory the proxy may use, and what becomes of it when it uses most of that.
//!
//! Anybody inside a sandbox can open a thousand connections to their own proxy and read none of the answers. What each
//! may make it hold is bounded; all together are still more than a small control group has. The kernel would then end
//! the process, and every connection with it. So the proxy is told in time how much room there is.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use proxy::Room;

/// Where control groups are (cgroups(7)). Those of version 1 that are about memory have a tree of their own in it.
const TREE: &str = "/sys/fs/cgroup";

/// Of the memory beyond what the process began with, what leaves no room for more, and what is too much. The rest is for
/// what is not counted here: the kernel's side of each connection, and the time between two looks.
const SCARCE: f64 = 0.5;
const NONE: f64 = 0.7;

/// There is room again below this. It lies lower, so that it does not come and go with each request.
const AMPLE: f64 = 0.4;

/// What a machine can fill in a second. Looks come as often as it takes to fill half of what is left.
const BYTES_PER_SECOND: f64 = 1e9;

/// Bounds on the time between two looks.
const OFTEN: Duration = Duration::from_millis(5);
const SELDOM: Duration = Duration::from_secs(1);

/// Tells `tell` whenever there is more or less room, and again as long as there is none. Never, where the memory that
/// this process uses cannot be found out.
pub(super) fn watch(tell: impl Fn(Room) + Send + 'static) {
    let Ok(usage) = Usage::open() else { return };
    let limit = limit().min(total() / 4);
    let Ok(base) = usage.bytes() else { return };
    // A thread of its own: it has to go on when the others have more to do than they can.
    let watching = thread::Builder::new().name("memory".into());
    let _ = watching.spawn(move || {
        let mut room = Room::Ample;
        while let Ok(used) = usage.bytes() {
            let mut share = Share::new(base, used, limit);
            if share.room(room) != Room::Ample {
                give_back();
                share = Share::new(base, usage.bytes().unwrap_or(used), limit);
            }
            let found = share.room(room);
            if found != room || found == Room::None {
                tell(found);
            }
            room = found;
            thread::sleep(share.pause());
        }
    });
}

/// How much of its memory the process uses.
#[derive(Clone, Copy)]
struct Share {
    /// Of what it may use beyond what it began with.
    used: f64,
    /// Bytes that are left.
    left: f64,
}

impl Share {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share is no more exact than what it is of"
    )]
    fn new(base: u64, used: u64, limit: u64) -> Self {
        // What it needed without a single client it may have, whatever the limit says.
        let whole = limit.saturating_sub(base).max(1);
        Self {
            used: used.saturating_sub(base) as f64 / whole as f64,
            left: limit.saturating_sub(used) as f64,
        }
    }

    fn room(self, before: Room) -> Room {
        match self.used {
            NONE.. => Room::None,
            SCARCE.. => Room::Scarce,
            AMPLE.. if before != Room::Ample => Room::Scarce,
            _ => Room::Ample,
        }
    }

    fn pause(self) -> Duration {
        Duration::from_secs_f64(self.left / 2.0 / BYTES_PER_SECOND).clamp(OFTEN, SELDOM)
    }
}

/// What this process uses: the memory that is its own. Pages of files are not, since the kernel can take them back.
struct Usage(File);

impl Usage {
    fn open() -> io::Result<Self> {
        File::open("/proc/self/status").map(Self)
    }

    /// proc_pid_status(5). COST: some 20 µs.
    fn bytes(&self) -> io::Result<u64> {
        let mut text = [0; 4096];
        let read = self.0.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(text.get(..read).unwrap_or_default());
        let resident = text.lines().find_map(|line| {
            let kib = line.strip_prefix("RssAnon:")?.strip_suffix("kB")?;
            kib.trim().parse::<u64>().ok()
        });
        resident
            .map(|kib| kib * 1024)
            .ok_or(io::ErrorKind::InvalidData.into())
    }
}

fn total() -> u64 {
    let machine = rustix::system::sysinfo();
    machine.totalram * u64::from(machine.mem_unit)
}

/// The least that a control group of this process's has, in bytes.
fn limit() -> u64 {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_in(Path::new(TREE), &own)
}

fn limit_in(tree: &Path, own: &str) -> u64 {
    let limits = own.lines().filter_map(|line| {
        // `0::/path` in version 2, `4:memory:/path` in version 1.
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let (tree, file) = match controllers {
            "" => (tree.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (tree.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let group = tree.join(path);
        let groups = group
            .ancestors()
            .take_while(|group| group.starts_with(&tree));
        let limit = |group: &Path| {
            fs::read_to_string(group.join(file))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        groups.filter_map(limit).min()
    });
    limits.min().unwrap_or(u64::MAX)
}

/// Has the allocator give back what is free. COST: milliseconds; without it, what was used once looks used for ever.
#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: malloc_trim(3) may be called at any time by any thread, and touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_counts() {
        let tree = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("memory.max", "900\n"),
            ("a/memory.max", "500\n"),
            ("a/b/memory.max", "max\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/x/memory.limit_in_bytes", "700\n"),
        ] {
            let file = tree.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        for (own, limit) in [
            ("0::/\n", 900),
            ("0::/a/b\n", 500),
            ("0::/a\n", 500),
            ("0::/gone/and/forgotten\n", 900),
            ("4:memory:/x\n", 700),
            ("4:cpu,memory:/\n3:pids:/a\n", 9_223_372_036_854_771_712),
            ("4:memory:/x\n0::/a\n", 500),
            ("3:pids:/a\n", u64::MAX),
            ("", u64::MAX),
        ] {
            assert_eq!(limit_in(tree.path(), own), limit, "{own:?}");
        }
    }

    #[test]
    fn room_rows() {
        use Room::{Ample, None, Scarce};
        // Base, used, limit; what it was, and what it is.
        for (base, used, limit, before, room) in [
            (10, 10, 110, Ample, Ample),
            (10, 59, 110, Ample, Ample),
            (10, 60, 110, Ample, Scarce),
            (10, 59, 110, Scarce, Scarce),
            (10, 59, 110, None, Scarce),
            (10, 49, 110, Scarce, Ample),
            (10, 80, 110, Ample, None),
            (10, 500, 110, Scarce, None),
            (10, 5, 110, None, Ample),
            // More than allowed from the beginning: any client is too many, and an idle proxy is not.
            (200, 200, 110, Ample, Ample),
            (200, 201, 110, Ample, None),
        ] {
            let share = Share::new(base, used, limit);
            assert_eq!(share.room(before), room, "{base} {used} {limit}");
        }
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = Usage::open().unwrap();
        let before = usage.bytes().unwrap();
        let held = vec![1_u8; 64 << 20];
        let during = usage.bytes().unwrap();
        assert!(during > before + (32 << 20), "{before} {during}");
        drop(held);
        assert!((1 << 16..total()).contains(&before), "{before}");
    }

    #[test]
    fn looks_come_as_often_as_they_have_to() {
        for (used, limit, pause) in [
            (0, 64 << 20, Duration::from_micros(33_554)),
            (60 << 20, 64 << 20, OFTEN),
            (0, 64 << 30, SELDOM),
        ] {
            let found = Share::new(0, used, limit).pause();
            assert!(
                found.abs_diff(pause) < Duration::from_millis(1),
                "{found:?}"
            );
        }
    }
}
