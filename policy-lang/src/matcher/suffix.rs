//! The suffixes of a name and a hash of each, in one pass from right to left.

/// Odd constants without structure (the fractional part of π), so that no input is a fixed point.
const KEYS: [u64; 3] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
];

/// `c`, `b.c`, `a.b.c` for `a.b.c`, each with its hash.
///
/// The hash of a suffix is made from that of the next shorter one, so all of them together cost one pass. It
/// is no secret: whoever makes names collide wins a comparison of bytes, never a wrong answer.
pub(super) struct Suffixes<'n> {
    name: &'n [u8],
    /// Where the suffix last given starts; the name's length and one at first.
    start: Option<usize>,
    hash: u64,
}

impl<'n> Suffixes<'n> {
    pub(super) fn of(name: &'n str) -> Self {
        Self {
            name: name.as_bytes(),
            start: Some(name.len() + 1),
            hash: KEYS[2],
        }
    }
}

impl<'n> Iterator for Suffixes<'n> {
    type Item = (&'n [u8], u64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let end = self.start?.checked_sub(1)?;
        let head = self.name.get(..end)?;
        let dot = last_dot(head);
        let from = dot.map_or(0, |dot| dot + 1);
        self.start = dot.map(|_| from);
        self.hash = mix(self.hash, head.get(from..)?);
        Some((self.name.get(from..)?, self.hash))
    }
}

/// The hash of a whole name.
pub(super) fn hash(name: &str) -> u64 {
    Suffixes::of(name).last().map_or(KEYS[2], |(_, hash)| hash)
}

/// Adds a label of at most 63 bytes.
#[inline]
fn mix(hash: u64, label: &[u8]) -> u64 {
    let mut hash = hash ^ (label.len() as u64);
    let mut rest = label;
    while rest.len() > 16 {
        let (block, tail) = rest.split_at(16);
        hash = fold(hash ^ word(block, 0), word(block, 8) ^ KEYS[0]);
        rest = tail;
    }
    let (low, high) = match rest.len() {
        8.. => (word(rest, 0), word(rest, rest.len() - 8)),
        4.. => (half(rest, 0), half(rest, rest.len() - 4)),
        _ => (short(rest), 0),
    };
    fold(hash ^ low ^ KEYS[0], high ^ KEYS[1])
}

/// The halves of a product, folded: every input bit reaches every output bit.
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ (product >> 64) as u64
}

/// Eight bytes at a time: labels are short, and most names end in a short one.
#[inline]
fn last_dot(bytes: &[u8]) -> Option<usize> {
    const DOTS: u64 = 0x2e2e_2e2e_2e2e_2e2e;
    const LOWS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let mut rest = bytes;
    while let Some((head, tail)) = rest.split_last_chunk::<8>() {
        let word = u64::from_le_bytes(*tail) ^ DOTS;
        // A high bit for each zero byte and no other (Hacker's Delight §6-1).
        let zeros = !(((word & LOWS) + LOWS) | word | LOWS);
        if zeros != 0 {
            return Some(head.len() + 7 - zeros.leading_zeros() as usize / 8);
        }
        rest = head;
    }
    rest.iter().rposition(|byte| *byte == b'.')
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[inline]
fn half(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)))
}

/// Up to three bytes, each in its place.
fn short(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(1, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn suffixes_come_shortest_first() {
        let rows: [(&str, &[&str]); 3] = [
            ("a.b.c", &["c", "b.c", "a.b.c"]),
            ("x", &["x"]),
            (
                "long-label-of-many-bytes.test",
                &["test", "long-label-of-many-bytes.test"],
            ),
        ];
        for (name, expected) in rows {
            let found: Vec<_> = Suffixes::of(name)
                .map(|(suffix, hash)| (std::str::from_utf8(suffix).unwrap(), hash))
                .collect();
            let hashed: Vec<_> = expected
                .iter()
                .map(|suffix| (*suffix, hash(suffix)))
                .collect();
            assert_eq!(found, hashed, "{name}");
        }
    }

    #[test]
    fn the_last_dot_is_found_wherever_it_is() {
        for len in 0..30 {
            for (first, last) in
                (0..len).flat_map(|first| (first..len).map(move |last| (first, last)))
            {
                // `/` is one more than a dot and `-` one less.
                let mut text = b"/-".repeat(15);
                text.truncate(len);
                text[first] = b'.';
                text[last] = b'.';
                assert_eq!(last_dot(&text), Some(last), "{len} {first} {last}");
            }
            assert_eq!(last_dot(&b"/-".repeat(15)[..len]), None);
        }
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
        let hashes: HashSet<_> = names.iter().map(|name| hash(name)).collect();
        assert_eq!(hashes.len(), names.len());
    }
}
