//! Sentences from the other side.

/// Longest sentence that is shown, in characters.
const LONGEST: usize = 500;

/// What a guest says about itself, made safe to show on the host's terminal: no control characters,
/// no reordering of what stands around it, and not endless.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .take(LONGEST)
        .map(|c| if is_harmless(c) { c } else { '\u{fffd}' })
        .collect()
}

fn is_harmless(c: char) -> bool {
    // The second range is the marks that change the direction of writing (UAX #9).
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_shown_is_left() {
        let rows = [
            ("", ""),
            (
                "there is no user `ä` in the sandbox",
                "there is no user `ä` in the sandbox",
            ),
            (
                "\x1b]0;title\x07\r\n",
                "\u{fffd}]0;title\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("a\u{9b}31m\u{7f}", "a\u{fffd}31m\u{fffd}"),
            ("exe.\u{202e}txt", "exe.\u{fffd}txt"),
        ];
        for (text, wanted) in rows {
            assert_eq!(printable(text), wanted);
        }
        assert_eq!(printable(&"ä".repeat(10_000)).chars().count(), LONGEST);
    }
}
