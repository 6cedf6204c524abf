//! Secrets that somebody has to be asked for: a program, a token endpoint.
//!
//! A guest says how often a secret is wanted, and by what it asks an origin for also how often one is refused. So what
//! was had is not had anew for a while, and neither is what could not be had.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::CredentialError;
use super::secret::Secret;

/// Longest that a secret is used again, whatever its giver says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A secret and how long it is good for, or why there is none.
pub(super) type Outcome = Result<(Duration, Secret), CredentialError>;

/// What came of asking, by what was asked for.
#[derive(Debug, Default)]
pub(super) struct Had(Mutex<HashMap<Box<str>, Slot>>);

/// One for each secret: who waits for one does not wait for another.
type Slot = Arc<tokio::sync::Mutex<Option<Last>>>;

#[derive(Debug)]
struct Last {
    at: Instant,
    until: Instant,
    outcome: Result<Secret, CredentialError>,
}

impl Had {
    /// The secret `key` as it was had last, or what comes of `ask` now. One is asked at a time, however many requests
    /// wait for it; what was in vain is not tried again for `pause`.
    pub(super) async fn get<F>(
        &self,
        key: &str,
        pause: Duration,
        ask: impl FnOnce() -> F,
    ) -> Result<Secret, CredentialError>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut last = self.slot(key).lock_owned().await;
        if let Some(last) = &*last
            && Instant::now() < last.until
        {
            return last.outcome.clone();
        }
        let asking = ask();
        // A task of its own: a client that leaves must not undo what was begun, and lose the token that came of it.
        let task = tokio::spawn(async move {
            let outcome = asking.await;
            let at = Instant::now();
            let (again, outcome) = match outcome {
                Ok((valid, secret)) => (valid.min(LONGEST), Ok(secret)),
                Err(error) if error.is_local() => (Duration::ZERO, Err(error)),
                Err(error) => (pause, Err(error)),
            };
            let until = at + again;
            let outcome = &last.insert(Last { at, until, outcome }).outcome;
            outcome.clone()
        });
        task.await
            .unwrap_or_else(|error| match error.try_into_panic() {
                // Counted and logged where the request's own panics are.
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(CredentialError::Interrupted),
            })
    }

    /// Lets go of what an origin refused, unless that was had within `pause` or is being had anew.
    pub(super) fn forget(&self, key: &str, pause: Duration) {
        if let Ok(mut last) = self.slot(key).try_lock()
            && last.as_ref().is_some_and(|last| last.at.elapsed() >= pause)
        {
            *last = None;
        }
    }

    fn slot(&self, key: &str) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get(key) {
            Some(slot) => slot.clone(),
            None => slots.entry(key.into()).or_default().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::oneshot;
    use tokio::time::advance;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);
    const VALID: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    /// A secret's text, or why there is none, as it is had by somebody who counts.
    async fn had(
        had: &Had,
        asked: &AtomicU32,
        outcome: Result<Duration, CredentialError>,
    ) -> Result<String, CredentialError> {
        let ask = || {
            let number = asked.fetch_add(1, Ordering::Relaxed) + 1;
            ready(outcome.map(|valid| (valid, Secret::new(number.to_string()).unwrap())))
        };
        let secret = had.get("key", PAUSE, ask).await;
        secret.map(|secret| secret.expose().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_had_anew_within_the_pause() {
        let (store, asked) = (Had::default(), AtomicU32::new(0));
        let rows = [
            // After so long, whether it was refused before that, and what is had.
            (Duration::ZERO, false, "1"),
            (PAUSE - SECOND, true, "1"),
            (SECOND, false, "1"),
            (Duration::ZERO, true, "2"),
            (PAUSE - SECOND, true, "2"),
            (VALID - PAUSE, false, "2"),
            (SECOND, false, "3"),
        ];
        for (row, (after, refused, expected)) in rows.into_iter().enumerate() {
            advance(after).await;
            if refused {
                store.forget("key", PAUSE);
            }
            let got = had(&store, &asked, Ok(VALID)).await;
            assert_eq!(got.as_deref(), Ok(expected), "{row}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_remembered_for_the_pause() {
        // What failed, and how often it was tried within the pause.
        let rows = [
            (CredentialError::Command, 1),
            (CredentialError::Empty, 1),
            (CredentialError::TokenEndpoint("refuses".into()), 1),
            (CredentialError::NotAsked("is not allowed".into()), 3),
            (CredentialError::NoFile("file".into()), 3),
            (CredentialError::BadOAuthFile("file".into()), 3),
        ];
        for (error, expected) in rows {
            let (store, asked) = (Had::default(), AtomicU32::new(0));
            for _ in 0..3 {
                let got = had(&store, &asked, Err(error.clone())).await;
                assert_eq!(got, Err(error.clone()));
                store.forget("key", PAUSE);
            }
            assert_eq!(asked.load(Ordering::Relaxed), expected, "{error}");
            advance(PAUSE).await;
            let got = had(&store, &asked, Ok(VALID)).await;
            assert_eq!(got, Ok((expected + 1).to_string()), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_good_for_ever() {
        let (store, asked) = (Had::default(), AtomicU32::new(0));
        for (after, expected) in [
            (Duration::ZERO, "1"),
            (LONGEST - SECOND, "1"),
            (SECOND, "2"),
        ] {
            advance(after).await;
            let got = had(&store, &asked, Ok(Duration::MAX)).await;
            assert_eq!(got.as_deref(), Ok(expected));
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_another_secret() {
        let store = Had::default();
        let stuck = store.get("stuck", PAUSE, pending::<Outcome>);
        let asked = AtomicU32::new(0);
        tokio::select! {
            biased;
            _ = stuck => panic!("nobody answers"),
            other = had(&store, &asked, Ok(VALID)) => assert_eq!(other.as_deref(), Ok("1")),
        }
        // Nor does an answer that an origin refused.
        store.forget("stuck", PAUSE);
    }

    /// Who asked has left; who comes next gets what came of it.
    #[tokio::test]
    async fn what_was_begun_is_finished() {
        let store = Had::default();
        let (answer, answered) = oneshot::channel::<Outcome>();
        let (begun, beginning) = oneshot::channel();
        {
            let first = store.get("key", PAUSE, || async {
                begun.send(()).unwrap();
                answered.await.unwrap()
            });
            tokio::select! {
                _ = first => panic!("nobody has answered"),
                begun = beginning => begun.unwrap(),
            }
        }
        answer
            .send(Ok((VALID, Secret::new("first").unwrap())))
            .unwrap();
        let again = || -> std::future::Ready<Outcome> { panic!("asked twice") };
        let got = store.get("key", PAUSE, again).await.unwrap();
        assert_eq!(got.expose(), "first");
    }
}
