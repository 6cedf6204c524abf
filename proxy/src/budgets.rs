//! How much hosts may use up, as the policy's `budget` lines say.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use policy_lang::{Allowance, Budget, ByteBudget, Host, Policy, Target, Unit, Way};

use crate::cause::Cause;
use crate::record::Traffic;

/// Budgets counted at once: far more than anybody writes by hand.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// What was used under each budget. It is kept in memory: a proxy that starts again starts afresh.
#[derive(Debug)]
pub(crate) struct Budgets {
    bytes: Mutex<LruCache<Account<ByteBudget>, Arc<Meter>>>,
    names: Mutex<LruCache<Account<(u32, Unit)>, Names>>,
}

/// Whose allowance it is, and how much.
type Account<A> = (Box<str>, A);

impl Default for Budgets {
    fn default() -> Self {
        Self {
            bytes: Mutex::new(LruCache::new(CAPACITY)),
            names: Mutex::new(LruCache::new(CAPACITY)),
        }
    }
}

impl Budgets {
    /// Puts the bytes of `traffic` on the account of every budget that covers `target`, or says which is used up.
    pub(crate) fn charge(
        &self,
        policy: &Policy,
        target: &Target,
        traffic: &Traffic,
    ) -> Result<(), Cause> {
        for budget in policy.budgets(target) {
            if let Allowance::Bytes(bytes) = budget.allowance {
                self.spend(&format!("budget {}", budget.pattern), bytes, traffic)?;
            }
        }
        Ok(())
    }

    /// The same for one budget, which `owner` names.
    pub(crate) fn spend(
        &self,
        owner: &str,
        budget: ByteBudget,
        traffic: &Traffic,
    ) -> Result<(), Cause> {
        let mut meters = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            Arc::new(Meter {
                rule: format!("{owner} {budget}"),
                budget,
                window: Mutex::default(),
            })
        };
        let meter = meters.get_or_insert((owner.into(), budget), fresh).clone();
        drop(meters);
        meter.check(Instant::now())?;
        traffic.meter(meter);
        Ok(())
    }

    /// Counts `target`'s name under the budget of names that covers it, or says that it is used up. A name that was
    /// counted in the same window is free.
    pub(crate) fn name(&self, policy: &Policy, target: &Target) -> Result<(), (String, Duration)> {
        let of_names = |budget: &&Budget| matches!(budget.allowance, Allowance::Names { .. });
        let Some(budget) = policy.budgets(target).find(of_names) else {
            return Ok(());
        };
        let Allowance::Names { count, per } = budget.allowance else {
            return Ok(());
        };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (budget.pattern.to_string().into(), (count, per));
        let seen = names.get_or_insert_mut(key, Names::default);
        seen.take(target.host(), count, per, Instant::now())
            .map_err(|wait| (budget.to_string(), wait))
    }
}

/// The names of one window.
#[derive(Debug, Default)]
struct Names {
    began: Option<Instant>,
    seen: HashSet<Host>,
}

impl Names {
    fn take(&mut self, host: &Host, count: u32, per: Unit, now: Instant) -> Result<(), Duration> {
        let left = left(&mut self.began, per, now).unwrap_or_else(|| {
            self.seen.clear();
            length(per)
        });
        if self.seen.contains(host) {
            return Ok(());
        }
        if self.seen.len() >= usize::try_from(count).unwrap_or(usize::MAX) {
            return Err(left);
        }
        self.seen.insert(host.clone());
        Ok(())
    }
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
    pub(crate) fn check(&self, now: Instant) -> Result<(), Cause> {
        match self.count(0, now) {
            (used, _) if used < self.budget.bytes => Ok(()),
            (_, wait) => Err(Cause::Limited {
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
fn left(began: &mut Option<Instant>, per: Unit, now: Instant) -> Option<Duration> {
    let end = began.map(|began| began + length(per));
    let left = end.and_then(|end| end.checked_duration_since(now));
    let left = left.filter(|left| !left.is_zero());
    if left.is_none() {
        *began = Some(now);
    }
    left
}

fn length(per: Unit) -> Duration {
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
        let meter = Meter {
            rule: "budget a 100B/m".into(),
            budget: ByteBudget {
                bytes: 100,
                per: Unit::Minute,
                way: Way::Both,
            },
            window: Mutex::default(),
        };
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

    #[test]
    fn names_are_counted_once() {
        let start = Instant::now();
        let mut names = Names::default();
        let rows = [
            (0, "a.test", true),
            (1, "b.test", true),
            (2, "a.test", true),
            (3, "c.test", false),
            (59, "b.test", true),
            (60, "c.test", true),
            (61, "a.test", true),
            (62, "b.test", false),
        ];
        for (at, name, passes) in rows {
            let target = Target::parse(&format!("{name}:1"), None).unwrap();
            let now = start + Duration::from_secs(at);
            let taken = names.take(target.host(), 2, Unit::Minute, now);
            assert_eq!(taken.is_ok(), passes, "{name} at {at}");
        }
    }
}
