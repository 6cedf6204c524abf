//! The clock of the boot.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the kernel started.
#[must_use]
pub fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let millis = now.tv_sec.saturating_mul(1000) + now.tv_nsec / 1_000_000;
    u64::try_from(millis).unwrap_or_default()
}
