//! Files without a name, opened by one that the guest's kernel still believes.
//!
//! For as long as the kernel may believe what it looked up, it opens a file that the host has removed or replaced, and
//! what a program writes there is lost. Told ESTALE, Linux walks the path once more and believes nothing (`LOOKUP_REVAL`
//! in path_lookup's terms; `do_filp_open` and `retry_estale` in its source), and so finds what there is now.
//!
//! Programs open files without a name also on purpose, by `/proc/self/fd`. The second walk then leads to the same file
//! without a name being looked up, and that is how the two are told apart. And a file system that counts no links has
//! a name for each file all the same: the second walk finds it.

use std::sync::atomic::{AtomicU64, Ordering};

use virtiofsd::filesystem::Context;

/// Threads of the guest that are remembered, by number modulo this. When two share a place, one is told ESTALE in vain.
const PLACES: usize = 256;

/// Set in an entry once the thread has looked up a name that leads elsewhere. Linux has no thread of such a number.
const WALKED: u64 = 1 << 31;

/// Who was told last that a file has no name.
pub(super) struct Gone {
    /// At each place `file << 32 | thread`, in the numbers of the server and of the guest.
    told: Vec<AtomicU64>,
}

impl Gone {
    pub(super) fn new() -> Self {
        Self {
            told: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Whether the thread was told of this file the last time, and asks again. Otherwise it is told now.
    pub(super) fn insists(&self, ctx: &Context, inode: u64) -> bool {
        let this = entry(ctx, inode);
        let Some(told) = self.told(ctx) else {
            return false;
        };
        let again = told.swap(this, Ordering::Relaxed) == this;
        if again {
            told.store(0, Ordering::Relaxed);
        }
        again
    }

    /// The thread looks up a name, and this is what has it.
    pub(super) fn walks(&self, ctx: &Context, found: Option<u64>) {
        let Some(told) = self.told(ctx) else {
            return;
        };
        let known = told.load(Ordering::Relaxed);
        if known & !WALKED & u64::from(u32::MAX) != thread(ctx) {
            return;
        }
        let here = found.is_some_and(|inode| known & !WALKED == entry(ctx, inode));
        let walked = if here {
            known & !WALKED
        } else {
            known | WALKED
        };
        told.store(walked, Ordering::Relaxed);
    }

    fn told(&self, ctx: &Context) -> Option<&AtomicU64> {
        let place = usize::try_from(thread(ctx)).ok()? % PLACES;
        self.told.get(place)
    }
}

fn entry(ctx: &Context, inode: u64) -> u64 {
    inode << 32 | thread(ctx)
}

fn thread(ctx: &Context) -> u64 {
    u64::from(ctx.pid.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(pid: i32) -> Context {
        Context {
            uid: 0.into(),
            gid: 0.into(),
            pid,
        }
    }

    #[derive(Debug)]
    enum Step {
        /// Opens a file; whether it insists.
        Opens(u64, bool),
        /// Looks up a name.
        Finds(u64),
        FindsNone,
    }
    use Step::{Finds, FindsNone, Opens};

    #[test]
    fn who_asks_twice_and_was_not_led_elsewhere_insists() {
        let far = 1 + PLACES as i32;
        for steps in [
            &[
                (1, Opens(7, false)),
                (1, Opens(7, true)),
                (1, Opens(7, false)),
            ][..],
            &[(1, Opens(7, false)), (1, FindsNone), (1, Opens(7, false))],
            &[(1, Opens(7, false)), (1, Finds(8)), (1, Opens(7, false))],
            &[(1, Opens(7, false)), (2, FindsNone), (1, Opens(7, true))],
            &[
                (1, Opens(7, false)),
                (1, Opens(8, false)),
                (1, Opens(7, false)),
            ],
            // It has a name: by way of its folder, and then itself.
            &[
                (1, Opens(7, false)),
                (1, Finds(8)),
                (1, Finds(7)),
                (1, Opens(7, true)),
            ],
            &[
                (1, Opens(7, false)),
                (1, Finds(7)),
                (1, FindsNone),
                (1, Opens(7, false)),
            ],
            // Two threads, also at one place.
            &[
                (1, Opens(7, false)),
                (2, Opens(7, false)),
                (1, Opens(7, true)),
                (2, Opens(7, true)),
            ],
            &[
                (1, Opens(7, false)),
                (far, Opens(7, false)),
                (1, Opens(7, false)),
            ],
            &[(1, Opens(7, false)), (far, FindsNone), (1, Opens(7, true))],
            &[(0, FindsNone), (0, Opens(7, false)), (0, Opens(7, true))],
        ] {
            let gone = Gone::new();
            for (n, (pid, step)) in steps.iter().enumerate() {
                match step {
                    Opens(file, insists) => {
                        assert_eq!(gone.insists(&by(*pid), *file), *insists, "{n} of {steps:?}");
                    }
                    Finds(file) => gone.walks(&by(*pid), Some(*file)),
                    FindsNone => gone.walks(&by(*pid), None),
                }
            }
        }
    }
}
