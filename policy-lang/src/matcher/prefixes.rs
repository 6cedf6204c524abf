//! From addresses to the longest prefix that contains them.

/// Bits that a node looks at.
const STRIDE: u32 = 8;
/// Values of a node before runs are joined.
const FAN: usize = 1 << STRIDE;
/// Marks a value that is the number of a node one level down.
const DOWN: u32 = 1 << 31;

/// A prefix: its bits from the most significant of 128, how many they are, and what it stands for.
pub(super) type Prefix = (u128, u8, u32);

/// A trie that looks at eight bits a level; values are below 2³¹, and 0 is none.
///
/// A node stores a value only where it differs from its neighbour's and finds it by counting bits, as in Lulea's
/// tables and poptrie: 900,000 prefixes of a real table take some eight bytes each.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    nodes: Vec<Node>,
    values: Vec<u32>,
}

/// 256 values, runs of equal ones stored once.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// A bit where a run starts.
    starts: [u64; 4],
    /// Runs that start before each of the four words.
    before: [u8; 4],
    /// Where the values are, less one: a value's run has started at least once.
    base: u32,
}

impl Prefixes {
    /// COST: sorting aside, linear.
    pub(super) fn new(mut prefixes: Vec<Prefix>) -> Self {
        prefixes.sort_unstable();
        let mut table = Self::default();
        if !prefixes.is_empty() {
            table.node(&prefixes, 0, 0);
        }
        table.nodes.shrink_to_fit();
        table.values.shrink_to_fit();
        table
    }

    /// Adds the node for prefixes that agree in their first `depth` bits, and returns its number.
    ///
    /// In sorted order what contains comes before what is contained, so later values overwrite earlier ones.
    fn node(&mut self, prefixes: &[Prefix], depth: u32, outer: u32) -> u32 {
        let number = self.nodes.len();
        self.nodes.push(Node::default());
        let mut filled = [outer; FAN];
        let mut rest = prefixes;
        while let Some((first, tail)) = rest.split_first() {
            let (bits, len, value) = *first;
            let at = byte(bits, depth);
            let below = (depth + STRIDE).checked_sub(u32::from(len));
            if let Some(below) = below {
                let covered = filled.iter_mut().skip(at).take(1 << below.min(STRIDE));
                covered.for_each(|place| *place = value);
                rest = tail;
                continue;
            }
            let same = rest.partition_point(|(bits, ..)| byte(*bits, depth) <= at);
            let (inner, others) = rest.split_at(same);
            if let Some(place) = filled.get_mut(at) {
                *place = DOWN | self.node(inner, depth + STRIDE, *place);
            }
            rest = others;
        }
        let node = self.runs(&filled);
        if let Some(place) = self.nodes.get_mut(number) {
            *place = node;
        }
        u32::try_from(number).unwrap_or(0)
    }

    /// Stores each run of equal values once.
    fn runs(&mut self, filled: &[u32; FAN]) -> Node {
        let mut node = Node {
            base: u32::try_from(self.values.len())
                .unwrap_or(0)
                .wrapping_sub(1),
            ..Node::default()
        };
        let mut last = None;
        let words = node.starts.iter_mut().zip(&mut node.before);
        let mut runs = 0;
        for ((word, before), values) in words.zip(filled.chunks(64)) {
            *before = runs;
            for (bit, value) in values.iter().enumerate() {
                if last != Some(value) {
                    last = Some(value);
                    *word |= 1 << bit;
                    runs = runs.wrapping_add(1);
                    self.values.push(*value);
                }
            }
        }
        node
    }

    /// The value of the longest prefix that contains an address; 0 if none does.
    #[inline]
    pub(super) fn longest(&self, mut bits: u128) -> u32 {
        let mut at = 0;
        while let Some(node) = self.nodes.get(at) {
            let index = node.value_at((bits >> 120) as u8);
            let value = self.values.get(index).copied().unwrap_or(0);
            if value & DOWN == 0 {
                return value;
            }
            at = (value & !DOWN) as usize;
            bits <<= STRIDE;
        }
        0
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.nodes.as_slice()) + size_of_val(self.values.as_slice())
    }
}

impl Node {
    #[inline]
    fn value_at(&self, byte: u8) -> usize {
        let word = usize::from(byte >> 6);
        let starts = self.starts.get(word).copied().unwrap_or(0);
        let before = self.before.get(word).copied().unwrap_or(0);
        let upto = starts << (63 - (byte & 63));
        let rank = u32::from(before) + upto.count_ones();
        self.base.wrapping_add(rank) as usize
    }
}

/// The byte that a node at `depth` looks at.
fn byte(bits: u128, depth: u32) -> usize {
    ((bits << depth) >> 120) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    fn masked(bits: u128, len: u8) -> u128 {
        match len {
            0 => 0,
            len => bits >> (128 - len) << (128 - len),
        }
    }

    fn longest(prefixes: &[Prefix], addr: u128) -> u32 {
        let containing = prefixes
            .iter()
            .filter(|(bits, len, _)| masked(addr, *len) == *bits);
        containing
            .max_by_key(|(_, len, _)| *len)
            .map_or(0, |(.., value)| *value)
    }

    /// Prefixes that crowd together, so that they lie within each other.
    fn made_up(rng: &mut Rng, most: u8) -> Vec<Prefix> {
        let mut prefixes: Vec<Prefix> = Vec::new();
        for value in 1..rng.u32(2..60) {
            let len = rng.u8(..=most);
            let bits = masked(crowded(rng), len);
            if !prefixes.iter().any(|(b, l, _)| (*b, *l) == (bits, len)) {
                prefixes.push((bits, len, value));
            }
        }
        prefixes
    }

    /// Few different bits, all over the 128.
    fn crowded(rng: &mut Rng) -> u128 {
        (0..16).fold(0, |bits, _| {
            bits << 8 | rng.choice([0u128, 0, 0x0a, 0x80, 0xff]).unwrap_or(0)
        })
    }

    #[test]
    fn the_longest_prefix_is_found() {
        let mut rng = Rng::with_seed(0x9f);
        for round in 0..2_000 {
            let prefixes = made_up(&mut rng, [8, 32, 128][round % 3]);
            let table = Prefixes::new(prefixes.clone());
            for _ in 0..200 {
                let addr = match rng.bool() {
                    true => crowded(&mut rng),
                    // Just inside, just outside.
                    false => {
                        let (bits, len, _) = *rng.choice(&prefixes).unwrap();
                        let size = 1u128.checked_shl(u32::from(128 - len)).unwrap_or(0);
                        let edge = *rng.choice(&[0, 1, size.wrapping_sub(1), size]).unwrap();
                        bits.wrapping_add(edge)
                    }
                };
                assert_eq!(
                    table.longest(addr),
                    longest(&prefixes, addr),
                    "{addr:#034x} in {prefixes:x?}"
                );
            }
        }
    }

    #[test]
    fn every_run_of_a_full_node_is_found() {
        let prefixes: Vec<_> = (0..256).map(|n| ((n as u128) << 120, 8, n + 1)).collect();
        let table = Prefixes::new(prefixes);
        for byte in 0..256u32 {
            assert_eq!(table.longest(u128::from(byte) << 120 | 7), byte + 1);
        }
    }

    #[test]
    fn none_contains_nothing() {
        assert_eq!(Prefixes::new(Vec::new()).longest(0), 0);
        assert_eq!(Prefixes::new(vec![(1 << 127, 1, 5)]).longest(0), 0);
        assert_eq!(Prefixes::new(vec![(0, 0, 5)]).longest(u128::MAX), 5);
    }
}
