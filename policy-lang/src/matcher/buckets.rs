//! A table from hashes to small values, in lines as long as the processor's.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Entries in one line.
pub(super) const SLOTS: usize = 10;
/// Entries a line is meant to hold: 7.1 bytes an entry, which fits beside the text of most lists.
const MEANT: usize = 9;
/// Where there is no text: 8 bytes an entry, and a third of the lines that are full.
const MEANT_ROOMY: usize = 8;
/// The lowest bit of a hash that neither place nor tags have.
const REST: u32 = 16;
/// Bits of an entry's value; the other two are its kind.
const VALUE_BITS: u32 = 30;
const VALUE_MASK: u32 = (1 << VALUE_BITS) - 1;
/// Bits of [`Line::filters`] that say for which names there are longer ones; the other eight say what spilled.
const LONGER_BITS: u32 = 24;

/// What an entry says about its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The name itself is listed.
    Exact = 0,
    /// All below the name is listed.
    Below = 1,
    /// The name itself and all below it are listed.
    Both = 2,
    /// The name has rules of its own.
    Place = 3,
}

impl Kind {
    /// Whether it says something about the name itself (`exact`), or about what is below it.
    #[inline]
    pub(super) fn covers(self, exact: bool) -> bool {
        match self {
            Self::Exact => exact,
            Self::Below => !exact,
            Self::Both | Self::Place => true,
        }
    }
}

/// What is stored under a hash: two bits of kind and thirty bits of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entry(pub(super) u32);

impl Entry {
    pub(super) fn new(kind: Kind, value: u32) -> Self {
        Self((kind as u32) << VALUE_BITS | value & VALUE_MASK)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        match self.0 >> VALUE_BITS {
            0 => Kind::Exact,
            1 => Kind::Below,
            2 => Kind::Both,
            _ => Kind::Place,
        }
    }

    #[inline]
    pub(super) fn value(self) -> u32 {
        self.0 & VALUE_MASK
    }

    /// The value that tells a hash from the others under the same tags.
    #[inline]
    pub(super) fn rest(hash: u64) -> u32 {
        (hash >> REST) as u32 & VALUE_MASK
    }
}

/// As much as the processor reads from memory at once. To find a name or to know that it is not there, and
/// whether there are longer ones, takes one line, or two where there were more entries than fit.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C, align(64))]
pub(super) struct Line {
    /// Eight bits of each hash; 0 is an empty slot.
    tags: [u8; SLOTS],
    /// Eight more of each.
    more: [u8; SLOTS],
    /// Two filters, each with a bit for a group of hashes. A bit that is set for nothing costs one look more.
    filters: u32,
    entries: [u32; SLOTS],
}

/// The table. It finds candidates by sixteen bits of hash; the caller tells whether one is meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Buckets {
    pub(super) lines: Vec<Line>,
}

/// What a line says about a hash at first sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glance {
    /// Whether there may be an entry under it; `false` is sure.
    pub(super) maybe: bool,
    /// Whether there may be entries for names below it; `false` is sure.
    pub(super) longer: bool,
}

impl Buckets {
    /// A table for `count` entries and no more.
    pub(super) fn for_entries(count: usize) -> Self {
        Self::with_lines(count.div_ceil(MEANT).max(1))
    }

    /// The same, a little larger and faster.
    pub(super) fn roomy(count: usize) -> Self {
        Self::with_lines(count.div_ceil(MEANT_ROOMY).max(1))
    }

    pub(super) fn with_lines(count: usize) -> Self {
        let lines = vec![Line::default(); count];
        Self { lines }
    }

    #[inline]
    pub(super) fn glance(&self, hash: u64) -> Glance {
        let Some(line) = self.lines.get(self.home(hash)) else {
            let (maybe, longer) = (false, false);
            return Glance { maybe, longer };
        };
        let spilled = line.filters & spilled_bit(hash);
        Glance {
            maybe: line.tagged(tag(hash)) | u64::from(spilled) != 0,
            longer: line.filters & longer_bit(hash) != 0,
        }
    }

    /// The first entry under `hash` that `is_it` accepts, and which of all slots it is in.
    #[inline]
    pub(super) fn find(
        &self,
        hash: u64,
        mut is_it: impl FnMut(Entry) -> bool,
    ) -> Option<(Entry, usize)> {
        let mut index = self.home(hash);
        // There are more slots than entries, so some line on the way has not spilled.
        for _ in 0..self.lines.len() {
            let line = self.lines.get(index)?;
            let mut tagged = line.tagged(tag(hash));
            while tagged != 0 {
                let slot = slot(tagged);
                tagged &= tagged - 1;
                let entry = Entry(*line.entries.get(slot)?);
                if *line.more.get(slot)? == more(hash) && is_it(entry) {
                    return Some((entry, index * SLOTS + slot));
                }
            }
            if line.filters & spilled_bit(hash) == 0 {
                return None;
            }
            index = self.after(index);
        }
        None
    }

    /// The entry in a slot that [`Buckets::find`] named.
    pub(super) fn at(&self, slot: usize) -> Option<Entry> {
        let line = self.lines.get(slot / SLOTS)?;
        line.entries.get(slot % SLOTS).copied().map(Entry)
    }

    /// How many entries there are.
    ///
    /// COST: a look at every line.
    pub(super) fn entries(&self) -> usize {
        let tags = self.lines.iter().flat_map(|line| &line.tags);
        tags.filter(|tag| **tag != 0).count()
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.lines.len() * SLOTS
    }

    /// Adds an entry; says in which slot.
    pub(super) fn insert(&mut self, hash: u64, entry: Entry) -> Option<usize> {
        let mut index = self.home(hash);
        for _ in 0..self.lines.len() {
            let line = self.lines.get_mut(index)?;
            if let Some(slot) = line.put(hash, entry) {
                return Some(index * SLOTS + slot);
            }
            line.filters |= spilled_bit(hash);
            index = self.after(index);
        }
        None
    }

    /// Notes that there are entries for names below the one with this hash, which need not have an entry.
    pub(super) fn mark_longer(&mut self, hash: u64) {
        let index = self.home(hash);
        if let Some(line) = self.lines.get_mut(index) {
            line.filters |= longer_bit(hash);
        }
    }

    /// The high bits, scaled to the number of lines (Lemire's fast range).
    #[inline]
    pub(super) fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.lines.len() as u128) >> 64) as usize
    }

    fn after(&self, index: usize) -> usize {
        match index + 1 < self.lines.len() {
            true => index + 1,
            false => 0,
        }
    }
}

// What each bit of a hash is for: 0 to 7 the tag, 8 to 15 more of it, 16 to 45 the entry, if it has no offset,
// 46 to 63, and more of the lower ones the more lines there are, the line. The filters use bits of the tag's
// second half and of the entry's again.

/// Never 0.
#[inline]
fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

#[inline]
fn more(hash: u64) -> u8 {
    (hash >> 8) as u8
}

#[inline]
fn longer_bit(hash: u64) -> u32 {
    let group = (u32::from(more(hash)) * LONGER_BITS) >> 8;
    1 << group
}

#[inline]
fn spilled_bit(hash: u64) -> u32 {
    1 << LONGER_BITS << (hash >> 16 & 7)
}

/// The slot of the lowest flag of [`Line::tagged`].
#[inline]
fn slot(tagged: u64) -> usize {
    let bit = tagged.trailing_zeros() as usize;
    bit / 8 + bit % 8 * 2
}

impl Line {
    /// A flag for each slot whose tag is `tag`: those of the first eight at bits 0, 8, …, those of the other two
    /// at 4 and 12. Eight tags are compared at a time by Mycroft's zero-byte test, which may also flag the
    /// neighbour of a match: the caller looks at the entry anyway.
    #[inline]
    fn tagged(&self, tag: u8) -> u64 {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGHS: u64 = 0x8080_8080_8080_8080;
        let [a, b, c, d, e, f, g, h, i, j] = self.tags;
        let pattern = ONES * u64::from(tag);
        let zeros = |word: u64| {
            let word = word ^ pattern;
            word.wrapping_sub(ONES) & !word & HIGHS
        };
        let low = zeros(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        let high = zeros(u64::from(u16::from_le_bytes([i, j]))) & 0xffff;
        low >> 7 | high >> 3
    }

    /// Puts an entry into a free slot; `None` if there is none.
    fn put(&mut self, hash: u64, entry: Entry) -> Option<usize> {
        let slot = self.tags.iter().position(|tag| *tag == 0)?;
        *self.tags.get_mut(slot)? = tag(hash);
        *self.more.get_mut(slot)? = more(hash);
        *self.entries.get_mut(slot)? = entry.0;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind and value of the same, and of the hash that it is under.
    fn number(entry: Entry) -> u64 {
        u64::from(entry.value())
    }

    #[test]
    fn an_entry_keeps_kind_and_value() {
        for kind in [Kind::Exact, Kind::Below, Kind::Both, Kind::Place] {
            for value in [0, 1, 4_711, VALUE_MASK] {
                let entry = Entry::new(kind, value);
                assert_eq!((entry.kind(), entry.value()), (kind, value));
            }
        }
    }

    /// 0 exact, 1 below.
    #[test]
    fn kinds_cover_what_they_say() {
        let rows = [
            (Kind::Exact, [true, false]),
            (Kind::Below, [false, true]),
            (Kind::Both, [true, true]),
            (Kind::Place, [true, true]),
        ];
        for (kind, expected) in rows {
            assert_eq!([true, false].map(|exact| kind.covers(exact)), expected);
        }
    }

    /// Hashes that all want the same bucket, with few tags, and hashes all over.
    #[test]
    fn what_is_put_in_is_found() {
        let crowded = (0..200).map(|n| (n % 7) + ((n / 7) << 16));
        let spread = (0..200u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for hashes in [crowded.collect::<Vec<_>>(), spread.collect()] {
            let mut table = Buckets::for_entries(hashes.len());
            for (value, hash) in (0..).zip(&hashes) {
                table.insert(*hash, Entry::new(Kind::Exact, value));
            }
            for (value, hash) in (0..).zip(&hashes) {
                let (entry, slot) = table.find(*hash, |entry| number(entry) == value).unwrap();
                assert_eq!(number(entry), value);
                assert_eq!(table.at(slot), Some(entry));
            }
            for hash in &hashes {
                let (maybe, longer) = (true, false);
                assert_eq!(table.glance(*hash), Glance { maybe, longer });
                assert_eq!(table.find(*hash, |_| false), None);
            }
        }
    }

    /// Every slot is flagged under its own tag; a neighbour may be, too.
    #[test]
    fn every_slot_is_found_by_its_tag() {
        for full in 1..=SLOTS {
            let mut line = Line::default();
            for slot in 0..full {
                // Neighbours differ by one, which a zero-byte test may confuse.
                let tag = 100 + (slot % 2) as u8 + 10 * (slot / 4) as u8;
                assert_eq!(line.put(tag.into(), Entry::default()), Some(slot));
            }
            for tag in 1..=255 {
                let mut flags = line.tagged(tag);
                let mut found = Vec::new();
                while flags != 0 {
                    found.push(slot(flags));
                    flags &= flags - 1;
                }
                let is_it = |slot: &usize| line.tags[*slot] == tag;
                let expected = (0..SLOTS).filter(is_it).count();
                assert_eq!(found.iter().copied().filter(|s| is_it(s)).count(), expected);
            }
        }
    }

    #[test]
    fn longer_names_are_marked_where_nothing_else_is() {
        let mut table = Buckets::for_entries(100);
        let hashes = (0..100u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (marked, others): (Vec<_>, Vec<_>) = hashes.partition(|hash| hash % 7 == 0);
        for hash in &marked {
            table.mark_longer(*hash);
        }
        let longer = |hash: &u64| table.glance(*hash).longer;
        assert!(marked.iter().all(longer));
        let wrong = others.iter().filter(|hash| longer(hash)).count();
        assert!(wrong < others.len() / 4, "{wrong} of {}", others.len());
    }

    #[test]
    fn an_empty_table_finds_nothing() {
        for table in [Buckets::default(), Buckets::for_entries(0)] {
            assert_eq!(table.find(7, |_| true), None);
            let (maybe, longer) = (false, false);
            assert_eq!(table.glance(7), Glance { maybe, longer });
        }
    }

    /// Eleven entries of the last line: the last of them goes on in the first. Whether more spilled does not matter.
    #[test]
    fn what_spills_over_the_end_is_found_at_the_start() {
        for others in [0, 5] {
            let mut table = Buckets::with_lines(3);
            assert_eq!(table.slots(), 3 * SLOTS);
            let last = u64::MAX << 46;
            let put = |table: &mut Buckets, hash, value| {
                let entry = Entry::new(Kind::Both, value);
                let slot = table.insert(hash, entry).unwrap();
                assert_eq!(table.at(slot), Some(entry));
                assert_eq!(
                    table.find(hash, |found| found == entry),
                    Some((entry, slot))
                );
                slot
            };
            let slots: Vec<_> = (0..11)
                .map(|n| put(&mut table, last | n, n as u32))
                .collect();
            let expected: Vec<_> = (2 * SLOTS..3 * SLOTS).chain([0]).collect();
            assert_eq!(slots, expected);
            for group in 0..others {
                put(&mut table, last | group << 16, 100 + group as u32);
            }
            assert!(table.find(last | 10, |entry| entry.value() == 10).is_some());
        }
    }

    #[test]
    fn what_spilled_is_told_in_eight_groups_beside_the_other_filter() {
        let bits = (0..16).map(|group| spilled_bit(group << 16 | 0xffff));
        let expected = (0..16).map(|group| 1 << (LONGER_BITS + group % 8));
        assert!(bits.eq(expected));
        let longer = (0..=255).map(|more| longer_bit(more << 8));
        assert!(longer.clone().all(|bit| bit < 1 << LONGER_BITS));
        assert_eq!(longer.fold(0, |all, bit| all | bit), (1 << LONGER_BITS) - 1);
    }

    #[test]
    fn a_tag_is_eight_bits_and_never_empty() {
        for (hash, expected) in [(0, 1), (1, 1), (0xab, 0xab), (0x1_00ff, 0xff)] {
            assert_eq!(tag(hash), expected);
        }
    }
}
