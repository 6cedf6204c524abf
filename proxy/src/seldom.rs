//! Futures that are asked only when something happened to them.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future that waits beside busy ones in the same task. COST: what happens once in the life of a connection is not
/// asked about whenever a byte comes.
pub(crate) struct Seldom<F> {
    future: F,
    bell: Arc<Bell>,
}

impl<F: Future + Unpin> Seldom<F> {
    pub(crate) fn new(future: F) -> Self {
        let bell = Bell {
            // To be asked once, so that it can ring.
            rung: AtomicBool::new(true),
            task: Mutex::new(Waker::noop().clone()),
        };
        Self {
            future,
            bell: Arc::new(bell),
        }
    }
}

impl<F: Future + Unpin> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // First, so that whoever rings from here on wakes this task.
        self.bell.belongs_to(cx.waker());
        if !self.bell.rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let bell = Waker::from(self.bell.clone());
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&bell))
    }
}

/// Rung when the future is to be asked again.
struct Bell {
    rung: AtomicBool,
    task: Mutex<Waker>,
}

impl Bell {
    fn belongs_to(&self, task: &Waker) {
        let mut known = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone_from(task);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn it_is_asked_when_it_rings() {
        let (ring, rung) = oneshot::channel();
        let mut rung = pin!(rung);
        let mut asked = 0;
        let mut seldom = Seldom::new(poll_fn(|cx| {
            asked += 1;
            rung.as_mut().poll(cx)
        }));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..10 {
            assert!(Pin::new(&mut seldom).poll(&mut cx).is_pending());
        }
        // From another task, which wakes this one.
        tokio::spawn(async move { ring.send(7) });
        assert_eq!((&mut seldom).await, Ok(7));
        drop(seldom);
        assert_eq!(asked, 2);
    }
}
