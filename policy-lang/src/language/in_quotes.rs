//! Strings of the grammar, written.

use std::fmt;

/// Text as a quoted word of the grammar.
pub(super) struct InQuotes<'a>(pub(super) &'a str);

impl fmt::Display for InQuotes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.replace('\\', r"\\").replace('"', "\\\"");
        write!(f, "\"{text}\"")
    }
}
