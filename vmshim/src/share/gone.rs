//! Files without a name, opened by one that the guest's kernel still believes.
//!
//! For as long as the kernel may believe what it looked up, it opens a file that the host has removed or replaced, and
//! what a program writes there is lost. Told ESTALE, Linux walks the path once more and believes nothing (`LOOKUP_REVAL`
//! in path_lookup's terms; `do_filp_open` and `retry_estale` in its source), and so finds what there is now.
//!
//! Programs open files without a name also on purpose, by `/proc/self/fd`. The second walk then leads to the same file
//! without a name being looked up, and that is how the two are told apart.

use std::sync::atomic::{AtomicU64, Ordering};

use virtiofsd::filesystem::Context;

/// Threads of the guest that are remembered, by number modulo this. When two share a place, one is told ESTALE in vain.
const PLACES: usize = 256;

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
        let this = inode << 32 | thread(ctx);
        let Some(told) = self.told(ctx) else {
            return false;
        };
        let again = told.swap(this, Ordering::Relaxed) == this;
        if again {
            told.store(0, Ordering::Relaxed);
        }
        again
    }

    /// The thread looks up a name.
    pub(super) fn walks(&self, ctx: &Context) {
        if let Some(told) = self.told(ctx) {
            let known = told.load(Ordering::Relaxed);
            if known != 0 && known & u64::from(u32::MAX) == thread(ctx) {
                told.store(0, Ordering::Relaxed);
            }
        }
    }

    fn told(&self, ctx: &Context) -> Option<&AtomicU64> {
        let place = usize::try_from(thread(ctx)).ok()? % PLACES;
        self.told.get(place)
    }
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

    /// A step: a thread opens a file, or looks up a name (file 0), and whether it insists.
    #[test]
    fn who_asks_twice_without_walking_insists() {
        let far = PLACES as i32;
        for steps in [
            &[(1, 7, false), (1, 7, true), (1, 7, false)][..],
            &[(1, 7, false), (1, 0, false), (1, 7, false)],
            &[(1, 7, false), (2, 0, false), (1, 7, true)],
            &[(1, 7, false), (2, 7, false), (1, 7, true), (2, 7, true)],
            &[(1, 7, false), (1, 8, false), (1, 7, false)],
            &[(1, 7, false), (1 + far, 7, false), (1, 7, false)],
            &[(1, 7, false), (1 + far, 0, false), (1, 7, true)],
        ] {
            let gone = Gone::new();
            for (n, (pid, file, insists)) in steps.iter().enumerate() {
                let found = match file {
                    0 => {
                        gone.walks(&by(*pid));
                        false
                    }
                    _ => gone.insists(&by(*pid), *file),
                };
                assert_eq!(found, *insists, "step {n} of {steps:?}");
            }
        }
    }
}
