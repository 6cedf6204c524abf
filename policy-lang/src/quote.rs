//! Text from outside, made safe to show.

use std::fmt;

/// Shows foreign text in backticks with control and non-printing characters escaped and the length bounded,
/// so that a request cannot forge a log line or repaint a terminal.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

/// Longer than any valid authority, short enough for one line.
const SHOWN_CHARS: usize = 300;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        for c in self.0.chars().take(SHOWN_CHARS) {
            match c {
                '\'' | '"' => write!(f, "{c}")?,
                c => write!(f, "{}", c.escape_debug())?,
            }
        }
        if self.0.chars().nth(SHOWN_CHARS).is_some() {
            f.write_str("…")?;
        }
        f.write_str("`")
    }
}
