//! How often hosts may be asked, as the policy's `limit` lines say.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use policy_lang::Rate;

/// Limits counted at once: far more than anybody writes by hand.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The requests made under each limit. A limit is shared by all the hosts its pattern covers.
#[derive(Debug)]
pub(crate) struct Rates(Mutex<LruCache<(Box<str>, Rate), Instant>>);

impl Default for Rates {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }
}

impl Rates {
    /// Counts a request at `now` under the limit on `pattern`, or says how long to wait.
    ///
    /// This is the generic cell rate algorithm: all it keeps is the time at which the allowance is full again.
    pub(crate) fn take(&self, pattern: String, rate: Rate, now: Instant) -> Result<(), Duration> {
        let period = Duration::from_secs(rate.per.seconds().into());
        let interval = period / rate.requests.max(1);
        let allowance = interval * rate.burst.unwrap_or(rate.requests).max(1);
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full_again = limits.get_or_insert_mut((pattern.into(), rate), || now);
        let next = (*full_again).max(now) + interval;
        match next.checked_duration_since(now + allowance) {
            Some(wait) if wait > Duration::ZERO => Err(wait),
            _ => {
                *full_again = next;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use policy_lang::Unit;

    use super::*;

    #[test]
    fn bursts_and_then_the_rate() {
        let (rates, start) = (Rates::default(), Instant::now());
        let rate = Rate {
            requests: 10,
            per: Unit::Second,
            burst: Some(3),
        };
        // Milliseconds after the start, and whether the request may be made.
        let rows = [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (99, false),
            (100, true),
            (101, false),
            (1000, true),
            (1000, true),
            (1000, true),
            (1000, false),
        ];
        for (row, (at, passes)) in rows.into_iter().enumerate() {
            let outcome = rates.take("*.example".into(), rate, start + Duration::from_millis(at));
            assert_eq!(outcome.is_ok(), passes, "row {row}: {outcome:?}");
        }
        assert!(
            rates.take("other.example".into(), rate, start).is_ok(),
            "another limit is another allowance"
        );
    }

    #[test]
    fn a_wait_is_told() {
        let (rates, start) = (Rates::default(), Instant::now());
        let rate = Rate {
            requests: 1,
            per: Unit::Minute,
            burst: None,
        };
        assert_eq!(rates.take("a".into(), rate, start), Ok(()));
        assert_eq!(
            rates.take("a".into(), rate, start + Duration::from_secs(20)),
            Err(Duration::from_secs(40))
        );
    }
}
