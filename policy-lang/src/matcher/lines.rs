//! Line numbers in a text of a million lines.

use crate::Position;

/// Bytes of text between two counts.
pub(super) const STRIDE: usize = 1 << 16;

/// How many lines end before each stretch of a text, so that no more than one stretch is counted through to
/// find the line of an offset: a denied request names its rule's line, and must not cost the whole list.
#[derive(Debug)]
pub(super) struct LineIndex(pub(super) Vec<u32>);

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

    /// Where the stretch starts that the byte at `offset` is in.
    pub(super) fn stretch(offset: u64) -> u64 {
        offset - offset % STRIDE as u64
    }

    /// Where the word starts that the byte after `before` is part of or follows; `before` is the text from
    /// `start` on, which is no later than the stretch.
    pub(super) fn position(&self, before: &[u8], start: u64) -> Position {
        let line_start = after_last(before, |byte| byte == b'\n');
        let in_line = before.get(line_start..).unwrap_or(&[]);
        let word_start = after_last(in_line, |byte| byte.is_ascii_whitespace());
        let ahead = in_line.get(..word_start).unwrap_or(&[]);
        // Bytes that begin a character of UTF-8.
        let column = ahead.iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
        let stretch = Self::stretch(start + before.len() as u64);
        let counted = usize::try_from(stretch)
            .ok()
            .and_then(|at| self.0.get(at / STRIDE));
        let uncounted = usize::try_from(stretch.saturating_sub(start)).ok();
        let rest = uncounted.and_then(|at| before.get(at..)).unwrap_or(&[]);
        Position {
            line: counted.copied().unwrap_or(0) + newlines(rest) + 1,
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }
}

/// Where the bytes start that follow the last `end`.
fn after_last(bytes: &[u8], end: impl Fn(u8) -> bool) -> usize {
    let last = bytes.iter().rposition(|byte| end(*byte));
    last.map_or(0, |at| at + 1)
}

fn newlines(bytes: &[u8]) -> u32 {
    bytes.iter().map(|byte| u32::from(*byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_lines_and_columns() {
        let text = "x a.test\n\n0.0.0.0 b.test *.c.test\nü d.test";
        let rows = [
            ("a.test", 1, 3),
            ("b.test", 3, 9),
            ("c.test", 3, 16),
            ("d.test", 4, 3),
        ];
        let index = LineIndex::of(text);
        for (word, line, column) in rows {
            let offset = text.find(word).unwrap();
            let found = index.position(&text.as_bytes()[..offset], 0);
            assert_eq!(found, Position { line, column }, "{word}");
        }
    }

    #[test]
    fn stretches_are_of_one_length() {
        let stride = STRIDE as u64;
        let rows = [
            (0, 0),
            (1, 0),
            (stride - 1, 0),
            (stride, stride),
            (3 * stride + 5, 3 * stride),
        ];
        for (offset, start) in rows {
            assert_eq!(LineIndex::stretch(offset), start);
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
            let before = &text.as_bytes()[..line * 8];
            let start = LineIndex::stretch(before.len() as u64).saturating_sub(64);
            let line = line as u32 + 1;
            for start in [0, start] {
                let found = index.position(&before[start as usize..], start);
                assert_eq!(found, Position { line, column: 1 });
            }
        }
    }
}
