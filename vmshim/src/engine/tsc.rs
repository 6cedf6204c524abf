//! The frequency of the processor's time stamp counter.
//!
//! An emulated guest reads the host's counter, and a machine without PIT, HPET and PM timer (QEMU's `microvm`) gives
//! the kernel nothing to measure it against: it must be told. A wrong figure makes the guest's clock run fast or
//! slow, so the nominal "cpu MHz" of /proc/cpuinfo, which follows frequency scaling, will not do.

use std::arch::x86_64::_rdtsc;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough that two readings' uncertainty, a tenth of a microsecond each, is below 50 parts per million.
const INTERVAL: Duration = Duration::from_millis(4);

/// Readings taken for one that was not interrupted.
const TRIES: usize = 16;

/// A measurement that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    first: Reading,
}

impl Measurement {
    /// Takes no time: other work fills the interval.
    pub(super) fn begin() -> Self {
        Self {
            first: Reading::take(),
        }
    }

    /// The frequency in kHz. Waits for what is left of the interval.
    pub(super) fn khz(self) -> u64 {
        thread::sleep(INTERVAL.saturating_sub(self.first.time.elapsed()));
        let last = Reading::take();
        let elapsed = last.time.duration_since(self.first.time);
        let ticks = u128::from(last.ticks.wrapping_sub(self.first.ticks)) * 1_000_000;
        u64::try_from(ticks / elapsed.as_nanos().max(1)).unwrap_or(u64::MAX)
    }
}

/// Clock and counter at the same moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    time: Instant,
    /// The counter, halfway between its values before and after the clock was read.
    ticks: u64,
    /// How far these are apart.
    width: u64,
}

impl Reading {
    /// The narrowest of some: an interrupt between clock and counter would be an error of microseconds.
    fn take() -> Self {
        let mut best = Self::once();
        for _ in 1..TRIES {
            let next = Self::once();
            if next.width < best.width {
                best = next;
            }
        }
        best
    }

    fn once() -> Self {
        let before = counter();
        let time = Instant::now();
        let width = counter().wrapping_sub(before);
        Self {
            time,
            ticks: before.wrapping_add(width / 2),
            width,
        }
    }
}

fn counter() -> u64 {
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
        assert!(one.abs_diff(two) < one / 2000, "{one} and {two} kHz");
    }
}
