//! Whether anything in this machine will ever wake.

use std::fs;
use std::io;

use wire::NO_TIMER;

use super::{BootError, Step};

/// Refuses a machine whose processors have no timer. When the host is so busy that it keeps an emulated processor
/// from running for more than 100 ms while the kernel measures the processor's timer, the kernel finds it too slow,
/// does without, and whoever waits then waits for ever (`calibrate_APIC_clock` in arch/x86/kernel/apic/apic.c). The
/// host starts such a machine again.
pub(super) fn look() -> Result<(), BootError> {
    let interrupts = fs::read_to_string("/proc/interrupts").step("read /proc/interrupts")?;
    match stands_still(&interrupts) {
        true => Err(io::Error::other(NO_TIMER)).step("boot"),
        false => Ok(()),
    }
}

/// Whether the kernel counts the interrupts of local timers, and has had none.
fn stands_still(interrupts: &str) -> bool {
    let timers = interrupts
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("LOC:"));
    timers.is_some_and(|counts| {
        let mut counts = counts
            .split_whitespace()
            .map_while(|n| n.parse::<u64>().ok());
        counts.all(|count| count == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_timer_interrupts_stands_still() {
        let rows = [
            (
                " NMI:  0  0  Non-maskable interrupts\n LOC:  0  0  Local timer interrupts\n",
                true,
            ),
            (" LOC:  0  7  Local timer interrupts\n", false),
            (" LOC:  312  290  Local timer interrupts\n", false),
            // Other processors count otherwise.
            ("  9:  12  12  GICv2  27 Level  arch_timer\n", false),
            ("", false),
        ];
        for (interrupts, expected) in rows {
            assert_eq!(stands_still(interrupts), expected, "{interrupts}");
        }
    }

    #[test]
    fn this_machine_has_a_timer() {
        assert!(!stands_still(
            &fs::read_to_string("/proc/interrupts").unwrap()
        ));
    }
}
