//! The clock of the boot.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rustix::time::{ClockId, clock_gettime};

/// Where a container's clock begins, whose kernel started long before it.
static ORIGIN: AtomicU64 = AtomicU64::new(0);

/// Makes now the beginning.
pub(super) fn begin() {
    ORIGIN.store(since_boot_ms(), Relaxed);
}

/// Milliseconds since the kernel, or the container, started.
#[must_use]
pub fn uptime_ms() -> u64 {
    since_boot_ms().saturating_sub(ORIGIN.load(Relaxed))
}

fn since_boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let millis = now.tv_sec.saturating_mul(1000) + now.tv_nsec / 1_000_000;
    u64::try_from(millis).unwrap_or_default()
}
