//! Where in a file something was written.

use serde::Serialize;
use std::{cell::Cell, fmt};

/// A line and a column, both counted from 1. A column counts characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Character in the line, from 1.
    pub column: u32,
}

impl Position {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Where each line starts, so that a position costs a binary search and not a scan of the file.
///
/// COST: a column is counted from the last position asked for if that is earlier on the same line, so that
/// asking in order stays linear even for a file of one line.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    last: Cell<(usize, Position)>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(newlines).collect();
        Self {
            text,
            starts,
            last: Cell::new((0, Position::START)),
        }
    }

    /// The offset at which a line starts, counted from 1.
    pub(crate) fn start_of(&self, line: usize) -> usize {
        let index = line.saturating_sub(1);
        self.starts.get(index).copied().unwrap_or(self.text.len())
    }

    /// The position of byte `offset`; an offset past the end is the end.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = floor_boundary(self.text, offset);
        let number = self.starts.partition_point(|start| *start <= offset);
        let line = u32::try_from(number).unwrap_or(u32::MAX);
        let (from, column) = match self.last.get() {
            (last, at) if at.line == line && last <= offset => (last, at.column),
            _ => (self.start_of(number), 1),
        };
        let between = self.text.get(from..offset).unwrap_or("").chars().count();
        let column = column.saturating_add(u32::try_from(between).unwrap_or(u32::MAX));
        let position = Position { line, column };
        self.last.set((offset, position));
        position
    }
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let lines = Lines::of("aä\nb\n");
        let rows = [
            (0, "1:1"),
            (1, "1:2"),
            (2, "1:2"),
            (3, "1:3"),
            (4, "2:1"),
            (5, "2:2"),
            (6, "3:1"),
            (99, "3:1"),
        ];
        for (offset, expected) in rows {
            assert_eq!(lines.position(offset).to_string(), expected, "{offset}");
        }
        assert_eq!(lines.position(1).to_string(), "1:2", "going back");
    }
}
