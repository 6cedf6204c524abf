//! The frequency of the processor's time stamp counter.
//!
//! An emulated guest reads the host's counter, and a machine without PIT, HPET and PM timer (QEMU's `microvm`) gives
//! the kernel nothing to measure it against: it must be told. A wrong figure makes the guest's clock run fast or
//! slow, so the nominal "cpu MHz" of /proc/cpuinfo, which follows frequency scaling, will not do.

use std::arch::x86_64::_rdtsc;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough that a reading's uncertainty of a microsecond is below 50 parts per million.
const INTERVAL: Duration = Duration::from_millis(20);

/// A measurement that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    started: Instant,
    first: u64,
}

impl Measurement {
    /// Takes no time: other work fills the interval.
    pub(super) fn begin() -> Self {
        Self {
            started: Instant::now(),
            first: read(),
        }
    }

    /// The frequency in kHz. Waits for what is left of 20 ms.
    pub(super) fn khz(self) -> u64 {
        thread::sleep(INTERVAL.saturating_sub(self.started.elapsed()));
        let (elapsed, last) = (self.started.elapsed(), read());
        let ticks = u128::from(last.wrapping_sub(self.first)) * 1_000_000;
        u64::try_from(ticks / elapsed.as_nanos().max(1)).unwrap_or(u64::MAX)
    }
}

fn read() -> u64 {
    // SAFETY: RDTSC touches no memory, and every processor that runs 64-bit Linux has it.
    unsafe { _rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_agree() {
        let (one, two) = (Measurement::begin().khz(), Measurement::begin().khz());
        assert!(one > 100_000, "{one} kHz");
        assert!(one.abs_diff(two) < one / 200, "{one} and {two} kHz");
    }
}
