//! A message with the line it is about, for a terminal.

use crate::Position;

/// A place in a file, to be shown with its line.
#[derive(Debug, Clone, Copy)]
pub struct Snippet<'a> {
    source: &'a str,
    at: Position,
    chars: usize,
}

impl<'a> Snippet<'a> {
    /// `chars` characters at `at` in the file called `source`.
    pub fn new(source: &'a str, at: Position, chars: usize) -> Self {
        Self { source, at, chars }
    }

    /// `title`, the place, its line in `text` with the characters marked, and what to do about it. Control
    /// characters of the file are not shown. Without such a line, the place alone.
    pub fn render(
        &self,
        title: &str,
        text: &str,
        help: impl IntoIterator<Item = String>,
    ) -> String {
        let number = self.at.line.to_string();
        let margin = " ".repeat(number.len());
        let mut out = format!("{title}\n{margin}--> {}:{}\n", self.source, self.at);
        let index = usize::try_from(self.at.line.saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some(line) = text.lines().nth(index) {
            let shown: String = line
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            let indent = " ".repeat(self.at.column.saturating_sub(1) as usize);
            let marks = "^".repeat(self.chars.max(1));
            out.push_str(&format!("{number} | {shown}\n{margin} | {indent}{marks}\n"));
        }
        for line in help {
            out.push_str(&format!("{margin} = help: {line}\n"));
        }
        out
    }
}
