//! An open-addressed table from hashes to small values, one cache line a bucket.

/// Values in one bucket.
const SLOTS: usize = 12;
/// Values a bucket is meant to hold: 7.1 bytes a value, and one lookup in eight looks at a second line.
const MEANT: usize = 9;
/// Bits of a value; the other three say what it means.
const VALUE_BITS: u32 = 29;
const VALUE_MASK: u32 = (1 << VALUE_BITS) - 1;
const LONGER: u32 = 1 << 31;

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

/// What is stored under a hash: two bits of kind, whether there are rules about names below, and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry(u32);

impl Entry {
    /// Says that there are rules about names below, and nothing about the name itself.
    const MARKER: Self = Self(LONGER | (Kind::Place as u32) << VALUE_BITS | VALUE_MASK);
    pub(super) fn new(kind: Kind, value: u32) -> Self {
        Self((kind as u32) << VALUE_BITS | value & VALUE_MASK)
    }

    pub(super) fn kind(self) -> Kind {
        match self.0 >> VALUE_BITS & 3 {
            0 => Kind::Exact,
            1 => Kind::Below,
            2 => Kind::Both,
            _ => Kind::Place,
        }
    }

    pub(super) fn value(self) -> u32 {
        self.0 & VALUE_MASK
    }

    fn has_longer(self) -> bool {
        self.0 & LONGER != 0
    }

    fn with_longer(self) -> Self {
        Self(self.0 | LONGER)
    }
}

/// What a lookup finds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) entry: Option<Entry>,
    /// Whether there may be entries for longer names; `false` is sure.
    pub(super) longer: bool,
}

/// 64 bytes, so that a lookup costs one access to memory.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Bucket {
    /// Eight bits of each hash; 0 is an empty slot.
    tags: [u8; SLOTS],
    /// Whether something that belongs here lies in the next bucket.
    spilled: bool,
    entries: [Entry; SLOTS],
}

/// The table. It finds candidates by eight bits of hash; the caller compares names.
#[derive(Debug, Default)]
pub(super) struct Buckets(Vec<Bucket>);

impl Buckets {
    /// A table for `count` entries and markers, and no more.
    pub(super) fn for_entries(count: usize) -> Self {
        let buckets = count.div_ceil(MEANT).max(1);
        Self(vec![Bucket::default(); buckets])
    }

    /// The first entry under `hash` that `is_it` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(Entry) -> bool) -> Found {
        let mut found = Found {
            entry: None,
            longer: false,
        };
        let mut index = self.home(hash);
        // INVARIANT: there are more slots than entries, so some bucket on the way has not spilled.
        while let Some(bucket) = self.0.get(index) {
            for slot in bucket.tagged(tag(hash)) {
                let entry = bucket.entry(slot);
                if entry == Entry::MARKER {
                    found.longer = true;
                } else if is_it(entry) {
                    found.longer |= entry.has_longer();
                    found.entry = Some(entry);
                    return found;
                }
            }
            if !bucket.spilled {
                break;
            }
            index = self.after(index);
        }
        found
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
            let slot = bucket
                .tagged(tag(hash))
                .find(|slot| bucket.entry(*slot) == old);
            if let Some(place) = slot.and_then(|slot| bucket.entries.get_mut(slot)) {
                *place = new;
                return;
            }
            index = next;
        }
    }

    /// Notes that there are entries for names below the one that `is_it` accepts, which need not be there.
    ///
    /// A marker bears no name. Another name with its bucket and tag finds it too, and is looked up once more
    /// than it need be.
    pub(super) fn mark(&mut self, hash: u64, is_it: impl FnMut(Entry) -> bool) {
        match self.find(hash, is_it) {
            Found { longer: true, .. } => {}
            Found {
                entry: Some(entry), ..
            } => self.replace(hash, entry, entry.with_longer()),
            Found { entry: None, .. } => self.insert(hash, Entry::MARKER),
        }
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<Bucket>()
    }

    /// The high bits, scaled to the number of buckets (Lemire's fast range).
    #[inline]
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
        self.entries.get(slot).copied().unwrap_or_default()
    }

    /// Stores an entry in a free slot; `false` if there is none.
    fn put(&mut self, tag: u8, entry: Entry) -> bool {
        let free = self
            .tags
            .iter_mut()
            .zip(&mut self.entries)
            .find(|(tag, _)| **tag == 0);
        match free {
            Some((tag_place, place)) => {
                (*tag_place, *place) = (tag, entry);
                true
            }
            None => false,
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
                    // Few distinct hashes in places, so that buckets overflow and tags collide.
                    let hash = if rng.u8(..4) == 0 {
                        rng.u64(..) & !0xf0
                    } else {
                        rng.u64(..)
                    };
                    (hash, Entry::new(*rng.choice(kinds.iter()).unwrap(), value))
                })
                .collect();
            let mut buckets = Buckets::for_entries(entries.len() + 2);
            for (hash, entry) in &entries {
                buckets.insert(*hash, *entry);
            }
            for (hash, entry) in &entries {
                let found = buckets.find(*hash, |found| found == *entry);
                assert_eq!((found.entry, found.longer), (Some(*entry), false));
                assert_eq!(
                    buckets
                        .find(rng.u64(..), |found| found.value() == 999_999)
                        .entry,
                    None
                );
            }
            if let Some((hash, old)) = entries.first() {
                buckets.mark(*hash, |found| found == *old);
                let found = buckets.find(*hash, |found| found.value() == old.value());
                assert_eq!(
                    (found.entry.map(Entry::kind), found.longer),
                    (Some(old.kind()), true)
                );
            }
            let absent = rng.u64(..);
            buckets.mark(absent, |_| false);
            let found = buckets.find(absent, |_| false);
            assert_eq!((found.entry, found.longer), (None, true));
        }
    }
}
