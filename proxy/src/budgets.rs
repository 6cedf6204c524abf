//! How much hosts may use up, as the policy's `budget` lines say.

pub(crate) mod meter;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use policy_lang::{Allowance, Budget, ByteBudget, Host, Policy, Target, Unit};

use crate::traffic::Traffic;
use meter::{Meter, Spent, left, length};

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
    ) -> Result<(), Spent> {
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
    ) -> Result<(), Spent> {
        let mut meters = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            let rule = format!("{owner} {budget}");
            Arc::new(Meter::new(rule, budget))
        };
        let meter = meters.get_or_insert((owner.into(), budget), fresh).clone();
        drop(meters);
        meter.check(Instant::now())?;
        traffic.meter(meter);
        Ok(())
    }

    /// Counts `target`'s name under the budget of names that covers it, or says that it is used up. A name that was
    /// counted in the same window is free.
    pub(crate) fn name(&self, policy: &Policy, target: &Target) -> Result<(), Spent> {
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
            .map_err(|wait| Spent {
                rule: budget.to_string(),
                wait,
            })
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

#[cfg(test)]
mod tests {
    use super::*;

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
