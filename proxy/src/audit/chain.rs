//! The chain that ties each line of the log to all before it.
//!
//! The last key of a line is `chain`: the first 16 bytes of SHA-256 over the chain of the line before and the text of
//! this one. A line that is changed, removed or put in breaks it there. It shows tampering to whoever kept a later
//! value of the chain; it cannot stop somebody who may write the file from writing all of it anew.

use std::io::{self, BufRead};

use aws_lc_rs::digest::{Context, SHA256};

const KEY: &str = ",\"chain\":\"";

/// A value of the chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Chain([u8; 16]);

impl Chain {
    /// Ends the JSON object in `line` with the next value of the chain and a line feed.
    pub(super) fn seal(&mut self, line: &mut Vec<u8>) {
        if line.last() == Some(&b'}') {
            line.pop();
        }
        *self = self.next(line);
        line.extend_from_slice(KEY.as_bytes());
        line.extend_from_slice(self.hex().as_bytes());
        line.extend_from_slice(b"\"}\n");
    }

    /// The value that `line` carries, if it carries one.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let (_, hex) = split(line)?;
        let byte = |at: usize| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok();
        let mut value = [0; 16];
        for (at, slot) in value.iter_mut().enumerate() {
            *slot = byte(at)?;
        }
        // Numbers have several spellings, with a sign or in capitals, and a line has one.
        Some(Self(value)).filter(|chain| chain.hex() == hex)
    }

    fn next(&self, text: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(text);
        let mut value = [0; 16];
        for (slot, byte) in value.iter_mut().zip(context.finish().as_ref()) {
            *slot = *byte;
        }
        Self(value)
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The text that is chained, and the chain's digits.
fn split(line: &[u8]) -> Option<(&[u8], &str)> {
    let line = line.trim_ascii_end().strip_suffix(b"\"}")?;
    let at = line
        .windows(KEY.len())
        .rposition(|window| window == KEY.as_bytes())?;
    let (text, hex) = (line.get(..at)?, line.get(at + KEY.len()..)?);
    Some((text, str::from_utf8(hex).ok()?))
}

/// Checks the chain over the files of a log, the oldest first. The first line of all is taken as it is: it follows from
/// a file that was rotated away.
#[derive(Debug, Default)]
pub struct Verifier {
    last: Option<Chain>,
}

impl Verifier {
    /// Reads another file. Returns how many of its lines hold, or the number of the first that does not follow from the
    /// one before it. A last line without its line feed is a write cut short, and left out.
    pub fn read(&mut self, mut log: impl BufRead) -> io::Result<Result<usize, usize>> {
        let mut line = Vec::new();
        let mut count = 0;
        while log.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            count += 1;
            if !self.holds(&line) {
                return Ok(Err(count));
            }
            line.clear();
        }
        Ok(Ok(count))
    }

    fn holds(&mut self, line: &[u8]) -> bool {
        let Some((text, chain)) = split(line).map(|(text, _)| text).zip(Chain::of(line)) else {
            return false;
        };
        let follows = self.last.is_none_or(|last| last.next(text) == chain);
        self.last = Some(chain);
        follows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(count: usize) -> Vec<String> {
        let mut chain = Chain::default();
        let line = |number| {
            let mut line = format!(r#"{{"n":{number},"x":",\"chain\":\""}}"#).into_bytes();
            chain.seal(&mut line);
            String::from_utf8(line).unwrap()
        };
        (0..count).map(line).collect()
    }

    fn verdict(lines: &[String]) -> Result<usize, usize> {
        Verifier::default().read(lines.concat().as_bytes()).unwrap()
    }

    #[test]
    fn tampering_shows() {
        let lines = log(5);
        assert!(lines.iter().all(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["chain"].is_string()
        }));
        assert_eq!(verdict(&lines), Ok(5));
        assert_eq!(
            verdict(&lines[2..]),
            Ok(3),
            "the older ones were rotated away"
        );
        let mut removed = lines.clone();
        removed.remove(2);
        assert_eq!(verdict(&removed), Err(3));
        let mut changed = lines.clone();
        changed[3] = changed[3].replace("\"n\":3", "\"n\":9");
        assert_eq!(verdict(&changed), Err(4));
        let mut swapped = lines.clone();
        swapped.swap(1, 2);
        assert_eq!(verdict(&swapped), Err(2));
        let signed = |line: &String| {
            let at = line.rfind(KEY).unwrap() + KEY.len();
            let digit = (at..at + 32)
                .step_by(2)
                .find(|&digit| &line[digit..=digit] == "0")?;
            Some([&line[..digit], "+", &line[digit + 1..]].concat())
        };
        let mut spelled = log(50);
        let (at, line) = spelled
            .iter()
            .enumerate()
            .find_map(|(at, line)| Some((at, signed(line)?)))
            .unwrap();
        spelled[at] = line;
        assert_eq!(verdict(&spelled), Err(at + 1), "a sign is no digit");
        let mut spelled = lines.clone();
        let at = spelled[0].rfind(KEY).unwrap();
        spelled[0] = [
            &spelled[0][..at],
            &spelled[0][at..].to_uppercase().replace("CHAIN", "chain"),
        ]
        .concat();
        assert_eq!(verdict(&spelled), Err(1), "one spelling only");
        let mut unchained = lines;
        unchained[4] = "{\"n\":4}\n".into();
        assert_eq!(verdict(&unchained), Err(5));
    }
}
