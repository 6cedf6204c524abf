//! Text a guest chose, made fit for a log and a terminal.

/// `text` cut to `max` bytes, with control, format and bidirectional characters replaced.
///
/// JSON escapes control characters, but a reader that prints the decoded string would run them.
pub(crate) fn clean(text: &str, max: usize) -> String {
    // Nearly all text there is.
    if text.len() <= max && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out: String = text
        .chars()
        .map(|char| if is_harmless(char) { char } else { '\u{fffd}' })
        .take(max)
        .collect();
    if out.len() > max || text.len() > max {
        let mut end = max.min(out.len());
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
        out.push('…');
    }
    out
}

/// No C0, C1, DEL, line or paragraph separator, bidirectional control, zero width or byte order mark (Unicode UAX 9, "Trojan Source").
fn is_harmless(char: char) -> bool {
    !char.is_control()
        && !matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{61c}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn rows() {
        let rows = [
            ("plain ünï", 99, "plain ünï"),
            (
                "a\r\nb\x1b[31m\u{7f}",
                99,
                "a\u{fffd}\u{fffd}b\u{fffd}[31m\u{fffd}",
            ),
            (
                "a\u{202e}b\u{2066}c\u{85}",
                99,
                "a\u{fffd}b\u{fffd}c\u{fffd}",
            ),
            ("abcdef", 3, "abc…"),
            ("äöü", 3, "ä…"),
        ];
        for (text, max, expected) in rows {
            assert_eq!(clean(text, max), expected, "{text:?}");
        }
    }
}
