//! Line numbers in a text of a million lines.

use crate::Position;

/// Bytes of text between two counts.
const STRIDE: usize = 1 << 16;

/// How many lines end before each stretch of a text, so that no more than one stretch is counted through to
/// find the line of an offset: a denied request names its rule's line, and must not cost the whole list.
#[derive(Debug)]
pub(super) struct LineIndex(Vec<u32>);

impl LineIndex {
    pub(super) fn of(text: &str) -> Self {
        let mut lines = 0;
        let counts = text.as_bytes().chunks(STRIDE).map(|stretch| {
            let before = lines;
            lines += newlines(stretch);
            before
        });
        Self(counts.collect())
    }

    /// Where the word starts that the byte at `offset` is part of or follows.
    pub(super) fn word_position(&self, text: &str, offset: usize) -> Position {
        let before = text.get(..offset).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let in_line = before.get(line_start..).unwrap_or("");
        let word_start = in_line
            .rfind(|c: char| c.is_ascii_whitespace())
            .map_or(0, |at| at + 1);
        let column = in_line.get(..word_start).unwrap_or("").chars().count() + 1;
        let stretch = offset / STRIDE;
        let counted = self.0.get(stretch).copied().unwrap_or(0);
        let rest = before.as_bytes().get(stretch * STRIDE..).unwrap_or(&[]);
        Position {
            line: counted + newlines(rest) + 1,
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }
}

fn newlines(bytes: &[u8]) -> u32 {
    bytes.iter().map(|byte| u32::from(*byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_lines_and_columns() {
        let text = "a.test\n\n0.0.0.0 b.test *.c.test\nü d.test";
        let rows = [
            ("a.test", 1, 1),
            ("b.test", 3, 9),
            ("c.test", 3, 16),
            ("d.test", 4, 3),
        ];
        let index = LineIndex::of(text);
        for (word, line, column) in rows {
            let offset = text.find(word).unwrap();
            let found = index.word_position(text, offset);
            assert_eq!(found, Position { line, column }, "{word}");
        }
    }

    #[test]
    fn lines_are_counted_across_stretches() {
        let text = "ab.test\n".repeat(STRIDE / 4);
        let index = LineIndex::of(&text);
        for line in [
            0,
            1,
            STRIDE / 8 - 1,
            STRIDE / 8,
            STRIDE / 8 + 1,
            STRIDE / 4 - 1,
        ] {
            let found = index.word_position(&text, line * 8);
            let line = line as u32 + 1;
            assert_eq!(found, Position { line, column: 1 });
        }
    }
}
