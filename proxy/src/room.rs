//! Memory that runs short: what is turned away, and what is given up, so that the kernel need not end the process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// Of the connections that are open, the newest one in so many is given up at a time.
const SHARE: usize = 8;

/// How much memory there is for what clients ask. Whoever runs the proxy finds out, and tells it: see
/// [`Proxy::set_room`](crate::Proxy::set_room).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Room {
    /// Enough.
    Ample,
    /// Only for what is under way: new connections and requests are answered 503.
    Scarce,
    /// Not even for that: connections are given up, the newest first.
    None,
}

/// The connections of a process, whoever's they are.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    room: AtomicU8,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    /// None while the task is being started.
    tasks: BTreeMap<u64, Option<AbortHandle>>,
}

/// One connection among the others, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
}

impl Crowd {
    /// Whether nothing new is to be begun.
    pub(crate) fn is_full(&self) -> bool {
        self.room.load(Ordering::Relaxed) != Room::Ample as u8
    }

    /// Counts the connection that `spawn` starts the task of. The task holds the place as long as it lives.
    pub(crate) fn join(self: &Arc<Self>, spawn: impl FnOnce(Place) -> AbortHandle) {
        let place = self.place();
        let number = place.number;
        let task = spawn(place);
        // It may be over already.
        if let Some(place) = self.lock().tasks.get_mut(&number) {
            *place = Some(task);
        }
    }

    fn place(self: &Arc<Self>) -> Place {
        let mut open = self.lock();
        open.last += 1;
        let number = open.last;
        open.tasks.insert(number, None);
        Place {
            crowd: self.clone(),
            number,
        }
    }

    /// Acts on how much room there is. To be told again as long as there is none.
    pub(crate) fn set(&self, room: Room) {
        self.room.store(room as u8, Ordering::Relaxed);
        if room == Room::None {
            for task in self.newest() {
                task.abort();
            }
        }
    }

    fn newest(&self) -> Vec<AbortHandle> {
        let tasks = &mut self.lock().tasks;
        let count = tasks.len().div_ceil(SHARE);
        let newest = std::iter::from_fn(|| tasks.pop_last());
        newest.take(count).filter_map(|(_, task)| task).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().tasks.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    /// So many tasks that never end by themselves, each in its place.
    fn crowd(count: usize) -> (Arc<Crowd>, JoinSet<()>) {
        let (crowd, mut tasks) = (Arc::<Crowd>::default(), JoinSet::new());
        for _ in 0..count {
            crowd.join(|place| {
                tasks.spawn(async move {
                    let _place = place;
                    pending().await
                })
            });
        }
        (crowd, tasks)
    }

    #[tokio::test]
    async fn the_newest_are_given_up() {
        let (crowd, mut tasks) = crowd(20);
        for (room, full, left) in [
            (Room::Scarce, true, 20),
            (Room::None, true, 17),
            (Room::None, true, 14),
            (Room::Ample, false, 14),
        ] {
            crowd.set(room);
            assert_eq!(crowd.is_full(), full, "{room:?}");
            while tasks.len() > left {
                assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
            }
            yield_now().await;
            assert!(tasks.try_join_next().is_none(), "{room:?}: others go on");
            let numbers: Vec<_> = crowd.lock().tasks.keys().copied().collect();
            assert_eq!(numbers, (1..=left as u64).collect::<Vec<_>>(), "{room:?}");
        }
    }

    #[tokio::test]
    async fn who_leaves_has_left() {
        let (crowd, mut tasks) = crowd(3);
        tasks.shutdown().await;
        assert!(crowd.lock().tasks.is_empty());
        // Before its task is known.
        crowd.join(|place| {
            drop(place);
            tasks.spawn(async {})
        });
        assert!(crowd.lock().tasks.is_empty());
    }
}
