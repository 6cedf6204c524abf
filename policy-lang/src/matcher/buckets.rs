//! An open-addressed table from hashes to small values, one cache line a bucket.

/// Values in one bucket.
const SLOTS: usize = 12;
/// Values a bucket is meant to hold: 7.1 bytes a value, and one lookup in eight looks at a second line.
const MEANT: usize = 9;

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The offset of a listed name: itself.
    Exact = 0,
    /// The offset of a listed name: all below it.
    Below = 1,
    /// The offset of a listed name: itself and all below it.
    Both = 2,
    /// The number of a place with rules of its own.
    Place = 3,
}

impl Kind {
    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Exact,
            1 => Self::Below,
            2 => Self::Both,
            _ => Self::Place,
        }
    }
}

/// What is stored under a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) value: u32,
}

/// 64 bytes, so that a lookup costs one access to memory.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Bucket {
    /// Eight bits of each hash; 0 is an empty slot.
    tags: [u8; SLOTS],
    /// Two bits for each slot.
    kinds: [u8; 3],
    /// Whether something that belongs here lies in the next bucket.
    spilled: bool,
    values: [u32; SLOTS],
}

/// The table. It finds candidates by eight bits of hash; the caller compares names.
#[derive(Debug, Default)]
pub(super) struct Buckets(Vec<Bucket>);

impl Buckets {
    /// A table for `count` entries, and no more.
    pub(super) fn for_entries(count: usize) -> Self {
        let buckets = count.div_ceil(MEANT).max(1);
        Self(vec![Bucket::default(); buckets])
    }

    /// The first entry under `hash` that `is_it` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(Entry) -> bool) -> Option<Entry> {
        let mut index = self.home(hash);
        // INVARIANT: there are more slots than entries, so some bucket on the way has not spilled.
        for _ in 0..self.0.len() {
            let bucket = self.0.get(index)?;
            for slot in bucket.tagged(tag(hash)) {
                let entry = bucket.entry(slot);
                if is_it(entry) {
                    return Some(entry);
                }
            }
            if !bucket.spilled {
                return None;
            }
            index = self.after(index);
        }
        None
    }

    pub(super) fn insert(&mut self, hash: u64, entry: Entry) {
        let mut index = self.home(hash);
        for _ in 0..self.0.len() {
            let next = self.after(index);
            let Some(bucket) = self.0.get_mut(index) else {
                return;
            };
            if bucket.put(tag(hash), entry) {
                return;
            }
            bucket.spilled = true;
            index = next;
        }
    }

    /// Changes an entry that is there.
    pub(super) fn replace(&mut self, hash: u64, old: Entry, new: Entry) {
        let mut index = self.home(hash);
        for _ in 0..self.0.len() {
            let next = self.after(index);
            let Some(bucket) = self.0.get_mut(index) else {
                return;
            };
            let found = bucket
                .tagged(tag(hash))
                .find(|slot| bucket.entry(*slot) == old);
            if let Some(slot) = found {
                return bucket.set(slot, tag(hash), new);
            }
            index = next;
        }
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<Bucket>()
    }

    /// The high bits, scaled to the number of buckets (Lemire's fast range).
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.0.len() as u128) >> 64) as usize
    }

    fn after(&self, index: usize) -> usize {
        match index + 1 < self.0.len() {
            true => index + 1,
            false => 0,
        }
    }
}

/// Low bits, which [`Buckets::home`] hardly looks at; never 0.
fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

impl Bucket {
    /// Slots whose tag is `tag`. Eight bytes are compared at a time (Mycroft's zero-byte test), which may also
    /// report the neighbour of a match, so each is looked at again.
    #[inline]
    fn tagged(&self, tag: u8) -> impl Iterator<Item = usize> + use<> {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGHS: u64 = 0x8080_8080_8080_8080;
        let tags = self.tags;
        let [a, b, c, d, e, f, g, h, i, j, k, l] = tags;
        let pattern = ONES * u64::from(tag);
        let zeros = |word: u64| {
            let word = word ^ pattern;
            word.wrapping_sub(ONES) & !word & HIGHS
        };
        let mut low = zeros(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        let mut high = zeros(u64::from(u32::from_le_bytes([i, j, k, l]))) & 0xffff_ffff;
        let candidates = std::iter::from_fn(move || {
            if low != 0 {
                let slot = low.trailing_zeros() as usize / 8;
                low &= low - 1;
                return Some(slot);
            }
            if high != 0 {
                let slot = 8 + high.trailing_zeros() as usize / 8;
                high &= high - 1;
                return Some(slot);
            }
            None
        });
        candidates.filter(move |slot| tags.get(*slot) == Some(&tag))
    }

    #[inline]
    fn entry(&self, slot: usize) -> Entry {
        let kinds = self.kinds.get(slot / 4).copied().unwrap_or(0);
        Entry {
            kind: Kind::from_bits(kinds >> (slot % 4 * 2)),
            value: self.values.get(slot).copied().unwrap_or(0),
        }
    }

    /// Stores an entry in a free slot; `false` if there is none.
    fn put(&mut self, tag: u8, entry: Entry) -> bool {
        match self.tags.iter().position(|tag| *tag == 0) {
            Some(slot) => {
                self.set(slot, tag, entry);
                true
            }
            None => false,
        }
    }

    fn set(&mut self, slot: usize, tag: u8, entry: Entry) {
        if let Some(place) = self.tags.get_mut(slot) {
            *place = tag;
        }
        if let Some(place) = self.values.get_mut(slot) {
            *place = entry.value;
        }
        if let Some(kinds) = self.kinds.get_mut(slot / 4) {
            let shift = slot % 4 * 2;
            *kinds = *kinds & !(3 << shift) | (entry.kind as u8) << shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_a_cache_line() {
        assert_eq!(size_of::<Bucket>(), 64);
        assert_eq!(Buckets::for_entries(9_000).bytes(), 64_000);
    }

    #[test]
    fn everything_put_in_is_found_and_nothing_else() {
        let mut rng = fastrand::Rng::with_seed(3);
        for count in [0, 1, 5, 12, 13, 100, 5_000] {
            let kinds = [Kind::Exact, Kind::Below, Kind::Both, Kind::Place];
            let entries: Vec<_> = (0..count)
                .map(|value| {
                    let kind = *rng.choice(kinds.iter()).unwrap();
                    // Few distinct hashes in places, so that buckets overflow and tags collide.
                    let hash = if rng.u8(..4) == 0 {
                        rng.u64(..) & !0xf0
                    } else {
                        rng.u64(..)
                    };
                    (hash, Entry { kind, value })
                })
                .collect();
            let mut buckets = Buckets::for_entries(entries.len());
            for (hash, entry) in &entries {
                buckets.insert(*hash, *entry);
            }
            for (hash, entry) in &entries {
                assert_eq!(buckets.find(*hash, |found| found == *entry), Some(*entry));
                assert_eq!(
                    buckets.find(rng.u64(..), |found| found.value == u32::MAX),
                    None
                );
            }
            if let Some((hash, old)) = entries.first() {
                let new = Entry {
                    kind: Kind::Place,
                    value: 999_999,
                };
                buckets.replace(*hash, *old, new);
                assert_eq!(buckets.find(*hash, |found| found == new), Some(new));
                assert_eq!(buckets.find(*hash, |found| found == *old), None);
            }
        }
    }
}
