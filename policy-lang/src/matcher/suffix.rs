//! The suffixes of a name and a keyed hash of each, in one pass from right to left.

use crate::saved::ListStore;
use std::{
    hash::{BuildHasher as _, RandomState},
    ops::ControlFlow,
};

/// What names are hashed with: secret, since lists and requested names may be chosen by an attacker, who
/// without the key cannot make names meet in one bucket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(pub(super) [u64; 3]);

impl Key {
    /// A key that no other process has, from the source that the standard library seeds its hash maps from.
    pub(crate) fn random() -> Self {
        Self([1, 2, 3].map(|part| RandomState::new().hash_one(part)))
    }

    /// The one that the images of a store were made with.
    pub(crate) fn of(store: &dyn ListStore) -> Self {
        Self(store.key())
    }

    /// Takes in the next eight bytes to the left.
    #[inline]
    fn step(self, state: u64, word: u64) -> u64 {
        let [_, step, _] = self.0;
        fold(state ^ word, step)
    }

    /// The hash of a suffix: eight bytes at a time are in `state`, its first ones, fewer than eight, in `rest`.
    ///
    /// Names have no zero bytes, so that `rest` says how many those are.
    #[inline]
    fn finish(self, state: u64, rest: u64) -> u64 {
        let [.., finish] = self.0;
        fold(state ^ rest, finish)
    }

    /// The hash of a whole name.
    pub(super) fn hash(self, name: &[u8]) -> u64 {
        let mut whole = 0;
        let _ = self.suffixes(name, |_, hash| {
            whole = hash;
            ControlFlow::Continue(())
        });
        whole
    }

    /// Calls `visit` with `c`, `b.c`, `a.b.c` for `a.b.c`, each as the offset where it starts and its hash,
    /// until it breaks.
    ///
    /// COST: the name is read once, eight bytes at a time from its end. What lies behind a word is in `state`,
    /// so each suffix takes one multiplication more.
    #[inline(always)]
    pub(super) fn suffixes(
        self,
        name: &[u8],
        mut visit: impl FnMut(usize, u64) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let [mut state, ..] = self.0;
        let mut end = name.len();
        let mut word = word_before(name, end);
        let mut dots = dots(word);
        loop {
            // One call of `visit` for dots and for the name's start, so that it is inlined.
            let (start, rest) = if dots != 0 {
                let at = end - dots.trailing_zeros() as usize / 8;
                let behind = (dots - 1) & !dots;
                dots &= dots - 1;
                (at, word & behind)
            } else if end < 8 {
                (0, word)
            } else {
                state = self.step(state, word);
                end -= 8;
                word = word_before(name, end);
                dots = self::dots(word);
                continue;
            };
            visit(start, self.finish(state, rest))?;
            if start == 0 {
                return ControlFlow::Continue(());
            }
        }
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::random()
    }
}

/// Never shown: the key is a secret.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The halves of a product, folded: every input bit reaches every output bit.
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ (product >> 64) as u64
}

/// The eight bytes before `end`, the last one in the lowest byte; zeros above where there are fewer.
#[inline]
fn word_before(bytes: &[u8], end: usize) -> u64 {
    let start = end.saturating_sub(8);
    match bytes.get(start..).and_then(|tail| tail.first_chunk()) {
        Some(word) => {
            // Where there are fewer than eight, what follows them was read, too.
            let behind = 64 - 8 * (end - start) as u32;
            u64::from_be_bytes(*word).checked_shr(behind).unwrap_or(0)
        }
        None => bytes
            .iter()
            .take(end)
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The lowest bit of each byte that is a dot. Sure for names: only a slash to the left of a dot would pass for
/// one, too (Mycroft's zero-byte test).
#[inline]
fn dots(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = word ^ (ONES * b'.' as u64);
    (word.wrapping_sub(ONES) & !word) >> 7 & ONES
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const KEY: Key = Key([
        0x243f_6a88_85a3_08d3,
        0x1319_8a2e_0370_7344,
        0xa409_3822_299f_31d0,
    ]);

    fn suffixes(name: &str) -> Vec<(&str, u64)> {
        let mut found = Vec::new();
        let _ = KEY.suffixes(name.as_bytes(), |start, hash| {
            found.push((&name[start..], hash));
            ControlFlow::Continue(())
        });
        found
    }

    #[test]
    fn suffixes_come_shortest_first() {
        let rows: [(&str, &[&str]); 6] = [
            ("a.b.c", &["c", "b.c", "a.b.c"]),
            ("x", &["x"]),
            ("", &[""]),
            ("abcdefg.com", &["com", "abcdefg.com"]),
            (
                "a.12345678901.test",
                &["test", "12345678901.test", "a.12345678901.test"],
            ),
            (
                "long-label-of-many-bytes.test",
                &["test", "long-label-of-many-bytes.test"],
            ),
        ];
        for (name, expected) in rows {
            let hashed: Vec<_> = expected
                .iter()
                .map(|suffix| (*suffix, KEY.hash(suffix.as_bytes())))
                .collect();
            assert_eq!(suffixes(name), hashed, "{name}");
        }
    }

    /// Wherever the dots are, each suffix has the hash that it has alone.
    #[test]
    fn a_suffix_has_the_hash_it_has_alone() {
        for len in 1..52 {
            let last = len - 1;
            for (first, second) in
                (0..last).flat_map(|first| (first..last).map(move |second| (first, second)))
            {
                let mut name = "-a".repeat(26).into_bytes();
                name.truncate(len);
                name[first] = b'.';
                name[second] = b'.';
                let name = String::from_utf8(name).unwrap();
                let found = suffixes(&name);
                let dots = 1 + usize::from(first != second);
                assert_eq!(found.len(), 1 + dots, "{name}");
                for (suffix, hash) in found {
                    assert_eq!(hash, KEY.hash(suffix.as_bytes()), "{suffix} of {name}");
                }
            }
        }
    }

    #[test]
    fn a_visit_can_be_the_last() {
        let mut seen = 0;
        let flow = KEY.suffixes(b"a.b.c", |_, _| {
            seen += 1;
            ControlFlow::Break(())
        });
        assert_eq!((flow, seen), (ControlFlow::Break(()), 1));
    }

    /// Labels that differ in one place, in length, or in where the dots are.
    #[test]
    fn near_names_have_other_hashes() {
        let mut names: HashSet<String> = HashSet::new();
        for label in [
            "a",
            "ab",
            "abc",
            "abcd",
            "abcdefgh",
            "abcdefghijklmnop",
            "abcdefghijklmnopqrstuvwxyz",
        ] {
            for at in 0..label.len() {
                for letter in b'a'..=b'z' {
                    let mut changed = label.as_bytes().to_vec();
                    changed[at] = letter;
                    names.insert(String::from_utf8(changed).unwrap());
                }
            }
        }
        let labels: Vec<_> = names.iter().cloned().collect();
        for (left, right) in labels.iter().zip(labels.iter().skip(1)) {
            names.insert(format!("{left}.{right}"));
            names.insert(format!("{left}{right}"));
        }
        let hashes: HashSet<_> = names.iter().map(|name| KEY.hash(name.as_bytes())).collect();
        assert_eq!(hashes.len(), names.len());
        // Buckets are chosen by the high bits and slots by the low ones.
        for shift in [0, 48] {
            let parts: HashSet<_> = hashes.iter().map(|hash| hash >> shift & 0xffff).collect();
            let expected = 65_536.0 * (1.0 - (-(names.len() as f64) / 65_536.0).exp());
            let spread = parts.len() as f64 / expected;
            assert!((0.95..1.05).contains(&spread), "{spread} at {shift}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", Key([1, 2, 3])), "Key(…)");
    }

    #[test]
    fn another_key_gives_other_hashes() {
        let [left, right] = [Key::random(), Key::random()].map(|key| key.hash(b"example.com"));
        assert_ne!(left, right);
    }
}
