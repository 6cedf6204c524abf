//! Giving memory back to the host when nobody works in the machine.
//!
//! What programs free, the kernel reports to the host by itself, two seconds later (virtio 1.2, section 5.5.6.7, "free
//! page reporting"). What it keeps of files it has read is not free: it would hold that as long as nobody else wants
//! the memory, and nobody inside knows how short the host is. The host's kernel has most of it cached, too, once for all
//! sandboxes. So it is let go when the processors have had next to nothing to do for a minute: an agent that
//! waits for its user, or no agent at all. Programs that run keep their pages; only what is in no process's map goes.

use std::convert::Infallible;
use std::time::Duration;
use std::{fs, io};

/// How often the processors are asked.
const LOOK: Duration = Duration::from_secs(10);

/// So many quiet looks in a row, a minute, are rest.
const QUIET: u32 = 6;

/// The kernel counts processor time in hundredths of a second, whatever its own clock (`USER_HZ`, proc(5)).
const TICKS_A_SECOND: u64 = 100;

/// A tenth of one processor is still quiet: a prompt that blinks, a program that asks whether there is news.
const QUIET_TICKS: u64 = LOOK.as_secs() * TICKS_A_SECOND / 10;

/// Watches the processors for the machine's life.
pub async fn run() -> io::Result<Infallible> {
    let mut rest = Rest::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let stat = fs::read_to_string("/proc/stat")?;
        if rest.begins(busy_ticks(&stat)) {
            // Clean pages of files: what was written a minute ago is on the disk by now.
            fs::write("/proc/sys/vm/drop_caches", "1")?;
        }
    }
}

/// Finds where a rest begins.
#[derive(Debug, Default)]
struct Rest {
    /// Ticks until the last look.
    busy: u64,
    /// Quiet looks in a row.
    looks: u32,
}

impl Rest {
    /// Whether this look, with so many ticks since the start, makes it a rest. Says so once in each.
    const fn begins(&mut self, busy: u64) -> bool {
        let spent = busy.saturating_sub(self.busy);
        self.busy = busy;
        self.looks = match spent <= QUIET_TICKS {
            true => self.looks.saturating_add(1),
            false => 0,
        };
        self.looks == QUIET
    }
}

/// What all processors together have worked, in ticks, by proc(5)'s `/proc/stat`: all columns but `idle` and `iowait`,
/// and without the guests' time, which `user` and `nice` count already.
fn busy_ticks(stat: &str) -> u64 {
    let mut words = stat.lines().next().unwrap_or_default().split_whitespace();
    words.next();
    let ticks = words.map_while(|word| word.parse::<u64>().ok()).take(8);
    let busy = ticks
        .enumerate()
        .filter(|(column, _)| !matches!(column, 3 | 4));
    busy.map(|(_, ticks)| ticks).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_are_not_work() {
        let rows = [
            ("cpu  1 20 300 4000 50000 6 70 800 9 10\ncpu0 5 5 5\n", 1197),
            ("cpu  1 20 300 4000\n", 321),
            ("cpu  \n", 0),
            ("", 0),
        ];
        for (stat, wanted) in rows {
            assert_eq!(busy_ticks(stat), wanted, "{stat}");
        }
    }

    #[test]
    fn a_rest_begins_once_after_a_quiet_minute() {
        // Ticks spent before each look; `!` marks the looks at which a rest begins.
        let rows = [
            ("0 0 0 0 0 0! 0 0 0 0 0 0 0 0", "for ever"),
            ("100 100 100 100 100 100! 100", "a tenth is quiet"),
            ("0 0 0 0 0 101 0 0 0 0 0 0! 0", "work begins it anew"),
            ("0 0 0 0 0 0! 0 900 0 0 0 0 0 0! 0", "a second rest"),
            ("900 0 0 0 0 0 900 0 0 0 0 0 900", "never long enough"),
        ];
        for (row, what) in rows {
            let (mut rest, mut busy) = (Rest::default(), 0);
            for look in row.split_whitespace() {
                let wanted = look.ends_with('!');
                busy += look.trim_end_matches('!').parse::<u64>().unwrap();
                assert_eq!(rest.begins(busy), wanted, "{what}: {row}");
            }
        }
    }
}
