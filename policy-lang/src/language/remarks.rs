//! What of a list its image cannot say by its table: words that are no plain names, and names to warn of.

use crate::Position;

/// A word of a list, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remark<'r> {
    pub(super) text: &'r str,
    pub(super) at: Position,
}

/// Such words in the order of the list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Remarks {
    /// One after the other.
    text: String,
    /// Where each ends, and where in the list it stands.
    ends: Vec<(usize, Position)>,
}

impl Remarks {
    pub(super) fn add(&mut self, text: &str, at: Position) {
        self.text.push_str(text);
        self.ends.push((self.text.len(), at));
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Remark<'_>> {
        let mut start = 0;
        self.ends.iter().filter_map(move |&(end, at)| {
            let text = self.text.get(start..end)?;
            start = end;
            Some(Remark { text, at })
        })
    }

    /// Length, line and column of each, four bytes each, and its text.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Remark { text, at } in self.iter() {
            // No list has 4 GiB.
            for number in [text.len() as u32, at.line, at.column] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    /// `None` if these are not bytes of [`Remarks::to_bytes`].
    pub(super) fn of_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut remarks = Self::default();
        while !bytes.is_empty() {
            let (numbers, rest) = bytes.split_first_chunk::<12>()?;
            let (numbers, _) = numbers.as_chunks::<4>();
            let mut numbers = numbers.iter().map(|number| u32::from_le_bytes(*number));
            let len = usize::try_from(numbers.next()?).ok()?;
            let (line, column) = (numbers.next()?, numbers.next()?);
            let (text, rest) = rest.split_at_checked(len)?;
            remarks.add(str::from_utf8(text).ok()?, Position { line, column });
            bytes = rest;
        }
        Some(remarks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_all_and_nothing_shorter_passes() {
        let mut remarks = Remarks::default();
        for (text, line, column) in [("bücher.test", 1, 1), ("", 2, 7), ("a b_c", 70_000, 300)] {
            remarks.add(text, Position { line, column });
        }
        let bytes = remarks.to_bytes();
        assert_eq!(Remarks::of_bytes(&bytes).as_ref(), Some(&remarks));
        assert_eq!(remarks.iter().count(), remarks.len());
        for len in 0..bytes.len() {
            let cut = Remarks::of_bytes(&bytes[..len]);
            assert!(cut.is_none_or(|cut| cut.len() < remarks.len()), "{len}");
        }
    }
}
