//! Time of this thread's own work, taken fairly.

use std::{fs, hint::black_box};

use rustix::time::{ClockId, clock_gettime};

/// Rounds in which every contestant runs once, in turn.
const ROUNDS: usize = 9;
/// Share of stolen time above which a sample does not count.
const MOST_STOLEN: f64 = 0.05;

/// One contestant: what it is called and what one round of its work is. The number keeps the work alive.
pub struct Contestant<'c> {
    pub name: &'static str,
    pub work: Box<dyn FnMut() -> u64 + 'c>,
}

/// A contestant's best round, in nanoseconds of processor time a unit of work.
pub struct Taken {
    pub name: &'static str,
    pub best: f64,
    pub worst: f64,
}

/// Runs all contestants by turns; a round of each is `units` of work.
pub fn race(units: usize, mut contestants: Vec<Contestant<'_>>) -> Vec<Taken> {
    let mut taken: Vec<Vec<f64>> = vec![Vec::new(); contestants.len()];
    for contestant in &mut contestants {
        black_box((contestant.work)());
    }
    for _ in 0..ROUNDS {
        for (contestant, times) in contestants.iter_mut().zip(&mut taken) {
            let (time, stolen) = timed(&mut contestant.work);
            // The best is taken, so a disturbed round hardly counts; the first three always stand.
            if stolen < MOST_STOLEN || times.len() < 3 {
                times.push(time / units as f64);
            }
        }
    }
    let names = contestants.iter().map(|contestant| contestant.name);
    let rows = names.zip(&taken).map(|(name, times)| Taken {
        name,
        best: times.iter().copied().fold(f64::INFINITY, f64::min),
        worst: times.iter().copied().fold(0.0, f64::max),
    });
    rows.collect()
}

/// Nanoseconds of this thread for one run, and the share of the machine's time that others stole meanwhile.
pub fn timed(mut work: impl FnMut() -> u64) -> (f64, f64) {
    let (stolen, all) = machine();
    let start = cpu();
    black_box(work());
    let time = cpu() - start;
    let (stolen_after, all_after) = machine();
    let share = (stolen_after - stolen) / (all_after - all).max(1.0);
    (time, share)
}

fn cpu() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// Stolen and all ticks since boot.
fn machine() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or("");
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|t| t.parse().ok())
        .collect();
    (ticks.get(7).copied().unwrap_or(0.0), ticks.iter().sum())
}

/// Resident memory of this process, in bytes.
pub fn resident() -> f64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|t| t.parse().ok())
        .unwrap_or(0.0);
    pages * 4096.0
}
