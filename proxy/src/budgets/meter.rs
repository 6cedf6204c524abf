//! Bytes by the window.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use policy_lang::{ByteBudget, Unit, Way};

/// A budget that is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Whose, and how much it was.
    pub(crate) rule: String,
    /// Until its next window.
    pub(crate) wait: Duration,
}

/// The bytes of one window.
#[derive(Debug)]
pub(crate) struct Meter {
    rule: String,
    budget: ByteBudget,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    used: u64,
}

impl Meter {
    pub(super) fn new(rule: String, budget: ByteBudget) -> Self {
        Self {
            rule,
            budget,
            window: Mutex::default(),
        }
    }

    /// Counts bytes in either direction. False once the budget is used up.
    pub(crate) fn add(&self, up: usize, down: usize) -> bool {
        let counted = match self.budget.way {
            Way::Both => up.saturating_add(down),
            Way::Up => up,
            Way::Down => down,
        };
        self.count(counted as u64, Instant::now()).0 <= self.budget.bytes
    }

    /// Whether anything is left of it.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Spent> {
        match self.count(0, now) {
            (used, _) if used < self.budget.bytes => Ok(()),
            (_, wait) => Err(Spent {
                rule: self.rule.clone(),
                wait,
            }),
        }
    }

    /// Bytes used in this window, and what is left of it.
    fn count(&self, bytes: u64, now: Instant) -> (u64, Duration) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let window = &mut *window;
        let left = left(&mut window.began, self.budget.per, now).unwrap_or_else(|| {
            window.used = 0;
            length(self.budget.per)
        });
        window.used = window.used.saturating_add(bytes);
        (window.used, left)
    }
}

/// What is left of the window that `began`; none if a new one begins now.
pub(super) fn left(began: &mut Option<Instant>, per: Unit, now: Instant) -> Option<Duration> {
    let end = began.map(|began| began + length(per));
    let left = end.and_then(|end| end.checked_duration_since(now));
    let left = left.filter(|left| !left.is_zero());
    if left.is_none() {
        *began = Some(now);
    }
    left
}

pub(super) fn length(per: Unit) -> Duration {
    Duration::from_secs(per.seconds().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_by_window() {
        let start = Instant::now()
            .checked_sub(Duration::from_secs(300))
            .unwrap();
        let budget = ByteBudget {
            bytes: 100,
            per: Unit::Minute,
            way: Way::Both,
        };
        let meter = Meter::new("budget a 100B/m".into(), budget);
        // Seconds after the start, bytes; bytes used then, and what is left of the window.
        let rows = [
            (0, 0, (0, 60)),
            (1, 99, (99, 59)),
            (2, 1, (100, 58)),
            (59, 0, (100, 1)),
            (60, 0, (0, 60)),
            (61, 200, (200, 59)),
            (200, 0, (0, 60)),
        ];
        for (at, bytes, (used, left)) in rows {
            let counted = meter.count(bytes, start + Duration::from_secs(at));
            assert_eq!(counted, (used, Duration::from_secs(left)), "at {at}");
        }
        assert!(meter.add(50, 50), "all of it may be used");
        assert!(meter.check(Instant::now()).is_err(), "and then nothing");
        assert!(!meter.add(0, 1));
    }
}
