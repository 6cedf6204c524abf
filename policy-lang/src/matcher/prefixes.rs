//! From addresses to the longest prefix that contains them.

/// A prefix: its bits, those behind its length clear; how many they are; and what it stands for.
pub(super) type Prefix<A> = (A, u8, u32);

/// An array has at most 2³ places for each way that the prefixes in it go.
///
/// COST: twice as many made a table of 900,000 twice as large and not faster.
const FILL: u32 = 3;
/// Bits that an array looks at, at most: 2¹⁶ places stay in the caches.
const WIDEST: u32 = 16;

/// A trie of arrays, each as wide as what it holds can fill; values are below 2³¹, and 0 is none.
///
/// Nilsson and Karlsson's LC-trie (IEEE JSAC 17(6), 1999) with the values pushed into the leaves, so that the way
/// down never looks back: bits in which all prefixes below agree are skipped, and an array looks at as many of the
/// next ones as it can without staying too empty. Most addresses are two or three steps from the top.
///
/// INVARIANT: every array parts prefixes or ends one, and after a path comes an array or a value, so memory is
/// linear in the prefixes, however they were chosen.
#[derive(Debug)]
pub(super) struct Prefixes<A> {
    top: Slot,
    slots: Vec<Slot>,
    paths: Vec<Path<A>>,
}

/// Bits in which all prefixes of a part of the trie agree.
#[derive(Debug, Clone, Copy)]
struct Path<A> {
    bits: A,
    len: u32,
    /// What an address has that takes another way.
    outer: Slot,
    /// Where the others go on.
    next: Slot,
}

impl<A: Bits> Prefixes<A> {
    /// COST: sorting aside, linear for each array on the way to a prefix.
    pub(super) fn new(mut prefixes: Vec<Prefix<A>>) -> Self {
        prefixes.sort_unstable();
        let mut table = Self {
            top: Slot::value(0),
            slots: Vec::new(),
            paths: Vec::new(),
        };
        table.top = table.below(&prefixes, 0, 0);
        table.slots.shrink_to_fit();
        table.paths.shrink_to_fit();
        table
    }

    /// Adds what is below `depth` bits for prefixes that agree in them and are no shorter.
    fn below(&mut self, prefixes: &[Prefix<A>], depth: u32, outer: u32) -> Slot {
        let (Some(first), Some(last)) = (prefixes.first(), prefixes.last()) else {
            return Slot::value(outer);
        };
        let lens = prefixes.iter().map(|(_, len, _)| u32::from(*len));
        let common = lens.fold(first.0.common(last.0), u32::min);
        let stride = stride(prefixes, depth);
        match common >= depth + stride {
            true => self.path(prefixes, common, outer),
            false => self.array(prefixes, depth, stride, outer),
        }
    }

    /// Skips to bit `common`, where the first prefix may end.
    fn path(&mut self, prefixes: &[Prefix<A>], common: u32, outer: u32) -> Slot {
        let number = self.paths.len();
        let Some(((bits, len, value), longer)) = prefixes.split_first() else {
            return Slot::value(outer);
        };
        self.paths.push(Path {
            bits: *bits,
            len: common,
            outer: Slot::value(outer),
            next: Slot::value(outer),
        });
        let next = match u32::from(*len) == common {
            true => self.below(longer, common, *value),
            false => self.below(prefixes, common, outer),
        };
        if let Some(path) = self.paths.get_mut(number) {
            path.next = next;
        }
        Slot::path(number)
    }

    /// In sorted order what contains comes before what is contained, so later values overwrite earlier ones.
    fn array(&mut self, prefixes: &[Prefix<A>], depth: u32, stride: u32, outer: u32) -> Slot {
        let start = self.slots.len();
        self.slots.resize(start + (1 << stride), Slot::value(outer));
        let mut rest = prefixes;
        while let Some(((bits, len, value), tail)) = rest.split_first() {
            let window = bits.window(depth, stride);
            if let Some(free) = (depth + stride).checked_sub(u32::from(*len)) {
                let covered = self.slots.iter_mut().skip(start + window);
                let covered = covered.take(1 << free.min(stride));
                covered.for_each(|slot| *slot = Slot::value(*value));
                rest = tail;
                continue;
            }
            let same = rest.partition_point(|(bits, ..)| bits.window(depth, stride) <= window);
            let (inner, others) = rest.split_at(same);
            let outer = self.slots.get(start + window).map_or(0, |slot| slot.0);
            let below = self.below(inner, depth + stride, outer);
            if let Some(slot) = self.slots.get_mut(start + window) {
                *slot = below;
            }
            rest = others;
        }
        Slot::array(start, stride)
    }

    /// The value of the longest prefix that contains an address; 0 if none does.
    #[inline]
    pub(super) fn longest(&self, addr: A) -> u32 {
        let mut slot = self.top;
        let mut depth = 0;
        loop {
            match slot.kind() {
                Kind::Value(value) => return value,
                Kind::Array { start, stride } => {
                    let place = start + addr.window(depth, stride);
                    slot = self.slots.get(place).copied().unwrap_or_default();
                    depth += stride;
                }
                Kind::Path(number) => {
                    let Some(path) = self.paths.get(number) else {
                        return 0;
                    };
                    // Chosen and not branched to: nobody can guess which way it is.
                    slot = match addr.common(path.bits) < path.len {
                        true => path.outer,
                        false => path.next,
                    };
                    depth = path.len;
                }
            }
        }
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.slots.as_slice()) + size_of_val(self.paths.as_slice())
    }
}

/// How many bits an array should look at: the most for which it is not too empty, where no more places than
/// prefixes are never too many.
///
/// Neighbours in sorted order that part at bit `depth + n` go two ways in every array of more than `n` bits.
fn stride<A: Bits>(prefixes: &[Prefix<A>], depth: u32) -> u32 {
    let mut parting = [0_usize; WIDEST as usize];
    for pair in prefixes.windows(2) {
        let [(first, ..), (second, ..)] = pair else {
            continue;
        };
        let behind = first.common(*second) - depth;
        if let Some(count) = parting.get_mut(behind as usize) {
            *count += 1;
        }
    }
    let mut ways = 1;
    let fitting = (1..).zip(parting).filter(|(bits, more)| {
        ways += more;
        1 << bits <= prefixes.len().max(ways << FILL)
    });
    fitting.last().map_or(FILL, |(bits, _)| bits)
}

/// A place: a value, or where the way goes on.
#[derive(Debug, Clone, Copy, Default)]
struct Slot(u32);

/// What a place says.
enum Kind {
    Value(u32),
    Array { start: usize, stride: u32 },
    Path(usize),
}

impl Slot {
    /// Marks that the way goes on.
    const ON: u32 = 1 << 31;
    /// Where the bits start that say how: 0 is a path, others are an array's stride less one.
    const HOW: u32 = 27;

    fn value(value: u32) -> Self {
        Self(value & !Self::ON)
    }

    /// INVARIANT: every array has at least 2³ places, and so starts at a multiple of them. There are numbers for
    /// 2³⁰ places, 4 GiB.
    fn array(start: usize, stride: u32) -> Self {
        let unit = u32::try_from(start >> FILL).unwrap_or(0);
        Self(Self::ON | (stride - 1) << Self::HOW | unit)
    }

    fn path(number: usize) -> Self {
        Self(Self::ON | u32::try_from(number).unwrap_or(0))
    }

    #[inline]
    fn kind(self) -> Kind {
        let number = (self.0 & ((1 << Self::HOW) - 1)) as usize;
        match (self.0 & Self::ON, self.0 >> Self::HOW & 0xf) {
            (0, _) => Kind::Value(self.0),
            (_, 0) => Kind::Path(number),
            (_, less) => Kind::Array {
                start: number << FILL,
                stride: less + 1,
            },
        }
    }
}

/// The bits of an address, the most significant first.
pub(super) trait Bits: Copy + Ord {
    /// The number that `count` bits from bit `start` make; those behind the last are 0.
    fn window(self, start: u32, count: u32) -> usize;
    /// How many leading bits agree.
    fn common(self, other: Self) -> u32;
}

macro_rules! bits {
    ($($number:ty),*) => {$(
        impl Bits for $number {
            #[inline]
            fn window(self, start: u32, count: u32) -> usize {
                (self << start >> (Self::BITS - count)) as usize
            }

            #[inline]
            fn common(self, other: Self) -> u32 {
                (self ^ other).leading_zeros()
            }
        }
    )*};
}
bits!(u32, u128);

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    /// The prefixes of a family: what the rows below are made of.
    trait Family: Bits + std::fmt::LowerHex + std::fmt::Debug {
        const LEN: u8;
        /// Of the 128 bits the first.
        fn of(bits: u128) -> Self;
        fn plus(self, more: Self) -> Self;
    }

    macro_rules! family {
        ($($number:ty),*) => {$(
            impl Family for $number {
                const LEN: u8 = Self::BITS as u8;
                fn of(bits: u128) -> Self {
                    (bits >> (128 - Self::BITS)) as Self
                }
                fn plus(self, more: Self) -> Self {
                    self.wrapping_add(more)
                }
            }
        )*};
    }
    family!(u32, u128);

    fn masked(bits: u128, len: u8) -> u128 {
        bits & !u128::MAX.checked_shr(len.into()).unwrap_or(0)
    }

    /// The definition.
    fn longest<A: Family>(prefixes: &[Prefix<A>], addr: A) -> u32 {
        let containing = prefixes
            .iter()
            .filter(|(bits, len, _)| addr.common(*bits) >= u32::from(*len));
        containing
            .max_by_key(|(_, len, _)| *len)
            .map_or(0, |(.., value)| *value)
    }

    /// Prefixes that crowd together, so that they lie within each other.
    fn made_up<A: Family>(rng: &mut Rng, count: u32, most: u8) -> Vec<Prefix<A>> {
        let mut prefixes: Vec<Prefix<A>> = Vec::new();
        for value in 1..rng.u32(2..count) {
            let len = rng.u8(..=most.min(A::LEN));
            let bits = A::of(masked(crowded(rng), len));
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

    fn the_longest_is_found<A: Family>(rounds: usize, count: u32) {
        let mut rng = Rng::with_seed(0x9f);
        for round in 0..rounds {
            let prefixes = made_up::<A>(&mut rng, count, [8, 32, 128][round % 3]);
            let table = Prefixes::new(prefixes.clone());
            for _ in 0..200 {
                let addr = match rng.bool() {
                    true => A::of(crowded(&mut rng)),
                    // Just inside, just outside.
                    false => {
                        let (bits, len, _) = *rng.choice(&prefixes).unwrap();
                        let size = 1u128.checked_shl(u32::from(128 - len)).unwrap_or(0);
                        let edge = [0, 1, size.wrapping_sub(1), size, u128::MAX];
                        bits.plus(A::of(*rng.choice(&edge).unwrap()))
                    }
                };
                assert_eq!(
                    table.longest(addr),
                    longest(&prefixes, addr),
                    "{addr:#x} in {prefixes:x?}"
                );
            }
        }
    }

    #[test]
    fn the_longest_prefix_is_found() {
        the_longest_is_found::<u32>(700, 60);
        the_longest_is_found::<u128>(700, 60);
        // Enough for wide arrays.
        the_longest_is_found::<u32>(6, 3_000);
        the_longest_is_found::<u128>(6, 3_000);
    }

    #[test]
    fn every_place_of_a_full_array_is_found() {
        let prefixes: Vec<_> = (0..1 << 16).map(|n: u32| (n << 16, 16, n + 1)).collect();
        let table = Prefixes::new(prefixes);
        assert_eq!(table.slots.len(), 1 << 16);
        for n in 0..1 << 16 {
            assert_eq!(table.longest(n << 16 | 7), n + 1);
        }
    }

    #[test]
    fn none_contains_nothing() {
        assert_eq!(Prefixes::<u128>::new(Vec::new()).longest(0), 0);
        assert_eq!(Prefixes::new(vec![(1u128 << 127, 1, 5)]).longest(0), 0);
        assert_eq!(Prefixes::new(vec![(0u128, 0, 5)]).longest(u128::MAX), 5);
        assert_eq!(Prefixes::new(vec![(7u32, 32, 5)]).longest(7), 5);
        assert_eq!(Prefixes::new(vec![(7u32, 32, 5)]).longest(6), 0);
    }

    /// Whoever writes a list that a policy includes may choose its networks so that they cost most.
    #[test]
    fn memory_is_linear_whatever_the_prefixes_are() {
        let mut rng = Rng::with_seed(5);
        let count = 20_000_u32;
        let pairs = |bits: u128| [(bits, 127), (bits | 1, 128)];
        let sets: [(&str, Vec<(u128, u8)>); 5] = [
            ("alone", (0..count).map(|_| (rng.u128(..), 128)).collect()),
            (
                "one by one",
                (0..u128::from(count)).map(|n| (n, 128)).collect(),
            ),
            (
                "apart at the end",
                (0..count / 2)
                    .flat_map(|_| pairs(rng.u128(..) & !1))
                    .collect(),
            ),
            // One goes another way at every bit, all the others go on.
            (
                "a comb",
                (0..128)
                    .map(|n| (1u128 << (127 - n), n as u8 + 1))
                    .collect(),
            ),
            (
                "within each other",
                (0..=128).map(|n| (masked(u128::MAX, n), n)).collect(),
            ),
        ];
        for (name, set) in sets {
            let prefixes: Vec<_> = set.iter().map(|(bits, len)| (*bits, *len, 1)).collect();
            let each = Prefixes::new(prefixes).bytes() / set.len();
            // No less than its value takes, no more than a constant.
            assert!((4..=128).contains(&each), "{name}: {each} bytes a prefix");
        }
    }
}
