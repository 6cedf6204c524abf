//! The succinct trie of mihomo and sing-box: reversed names, level order, one bit a node, siblings scanned.
//!
//! After `component/trie/domain_set.go` and `common/domain/set.go`. A name with all below it is stored twice: as
//! itself, and with `.+` after it.

use std::collections::VecDeque;

/// Ends a name with everything below it.
const ALL_BELOW: u8 = b'+';

pub struct Louds {
    leaves: Vec<u64>,
    bitmap: Vec<u64>,
    labels: Vec<u8>,
    /// Ones before each word of the bitmap.
    ranks: Vec<u32>,
    /// Where each 64th one is.
    selects: Vec<u32>,
}

impl Louds {
    pub fn new(words: &[String]) -> Self {
        let mut keys: Vec<Vec<u8>> = Vec::with_capacity(words.len() * 2);
        for word in words {
            let name = word.trim_start_matches('.');
            let reversed: Vec<u8> = name.bytes().rev().collect();
            if word.starts_with('.') {
                keys.push([&reversed[..], &[b'.', ALL_BELOW]].concat());
            }
            keys.push(reversed);
        }
        keys.sort_unstable();
        keys.dedup();
        let mut trie = Self {
            leaves: Vec::new(),
            bitmap: Vec::new(),
            labels: Vec::new(),
            ranks: Vec::new(),
            selects: Vec::new(),
        };
        trie.fill(&keys);
        trie.index();
        trie
    }

    fn fill(&mut self, keys: &[Vec<u8>]) {
        let mut queue = VecDeque::from([(0, keys.len(), 0)]);
        let (mut node, mut bit) = (0, 0);
        while let Some((mut start, end, column)) = queue.pop_front() {
            if keys[start].len() == column {
                start += 1;
                set(&mut self.leaves, node, true);
            }
            let mut from = start;
            while from < end {
                let label = keys[from][column];
                let same = keys[from..end].partition_point(|key| key[column] == label);
                queue.push_back((from, from + same, column + 1));
                self.labels.push(label);
                set(&mut self.bitmap, bit, false);
                bit += 1;
                from += same;
            }
            set(&mut self.bitmap, bit, true);
            bit += 1;
            node += 1;
        }
    }

    fn index(&mut self) {
        let mut ones = 0;
        self.ranks.push(0);
        for (at, word) in self.bitmap.iter().enumerate() {
            for bit in (0..64).filter(|bit| word >> bit & 1 == 1) {
                if ones % 64 == 0 {
                    self.selects.push((at * 64 + bit) as u32);
                }
                ones += 1;
            }
            self.ranks.push(ones);
        }
    }

    pub fn has(&self, name: &str) -> bool {
        let (mut node, mut bit) = (0, 0);
        for byte in name.bytes().rev() {
            let mut found = None;
            loop {
                if get(&self.bitmap, bit) {
                    break;
                }
                let label = self.labels[bit - node];
                if label == ALL_BELOW {
                    return true;
                }
                if label == byte {
                    found = Some(bit);
                    break;
                }
                bit += 1;
            }
            let Some(at) = found else { return false };
            node = self.zeros(at + 1);
            bit = self.select(node - 1) + 1;
        }
        get(&self.leaves, node)
    }

    /// Zeros before a bit.
    fn zeros(&self, bit: usize) -> usize {
        let below = self.bitmap[bit / 64] & ((1 << (bit % 64)) - 1);
        bit - self.ranks[bit / 64] as usize - below.count_ones() as usize
    }

    /// Where the one with this number is.
    fn select(&self, number: usize) -> usize {
        let mut at = self.selects[number / 64] as usize / 64;
        while (self.ranks[at + 1] as usize) <= number {
            at += 1;
        }
        let mut word = self.bitmap[at];
        for _ in self.ranks[at] as usize..number {
            word &= word - 1;
        }
        at * 64 + word.trailing_zeros() as usize
    }

    pub fn bytes(&self) -> usize {
        8 * (self.leaves.len() + self.bitmap.len())
            + self.labels.len()
            + 4 * (self.ranks.len() + self.selects.len())
    }
}

fn set(bits: &mut Vec<u64>, at: usize, value: bool) {
    if bits.len() <= at / 64 {
        bits.resize(at / 64 + 1, 0);
    }
    bits[at / 64] |= u64::from(value) << (at % 64);
}

fn get(bits: &[u64], at: usize) -> bool {
    bits.get(at / 64)
        .is_some_and(|word| word >> (at % 64) & 1 == 1)
}
