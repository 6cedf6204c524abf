//! Which hashes are surely not among some.

/// Bits for each hash: one in sixteen of the others passes.
const BITS: usize = 16;

/// A Bloom filter with one bit for each hash.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<u64>);

impl Filter {
    /// A filter for about `count` hashes.
    pub(super) fn for_hashes(count: usize) -> Self {
        Self(vec![0; (count * BITS / 64).next_power_of_two()])
    }

    pub(super) fn insert(&mut self, hash: u64) {
        let at = self.word(hash);
        if let Some(word) = self.0.get_mut(at) {
            *word |= bit(hash);
        }
    }

    #[inline]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let word = self.0.get(self.word(hash));
        word.is_some_and(|word| word & bit(hash) != 0)
    }

    #[inline]
    fn word(&self, hash: u64) -> usize {
        (hash >> 6) as usize & self.0.len().wrapping_sub(1)
    }
}

#[inline]
fn bit(hash: u64) -> u64 {
    1 << (hash & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_passes_and_little_else() {
        let hashes =
            |from: u64| (from..from + 1_000).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut filter = Filter::for_hashes(1_000);
        hashes(0).for_each(|hash| filter.insert(hash));
        assert!(hashes(0).all(|hash| filter.may_have(hash)));
        let passed = hashes(1_000).filter(|hash| filter.may_have(*hash)).count();
        assert!(passed < 120, "{passed}");
        assert!(!Filter::default().may_have(7));
    }
}
