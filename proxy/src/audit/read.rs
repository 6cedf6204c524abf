//! Reading a log back.

use std::io::{self, BufRead};

use super::Event;

/// Longest line that is taken for an event. The writer bounds every field, so a longer one is none of ours.
const MAX_LINE: usize = 64 * 1024;

/// Why an event could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file.
    #[error("cannot read the log")]
    Io(#[from] io::Error),
    /// A line that is no event.
    #[error("line {line} of the log is not an event")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The events in `log`, oldest first. A last line without its line feed is a write cut short, and left out.
pub fn read(mut log: impl BufRead) -> impl Iterator<Item = Result<Event, ReadError>> {
    let mut number = 0;
    let mut line = Vec::new();
    std::iter::from_fn(move || {
        loop {
            line.clear();
            number += 1;
            match log.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.last() != Some(&b'\n') => return None,
                Ok(_) if line.len() > MAX_LINE || line.trim_ascii().is_empty() => {}
                Ok(_) => {
                    let event = serde_json::from_slice(&line);
                    return Some(event.map_err(|source| ReadError::Line {
                        line: number,
                        source,
                    }));
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"{"timestamp":"2026-01-29T10:15:23Z","sandbox":"s","type":"request","action":"denied"}"#;

    #[test]
    fn a_torn_last_line_is_left_out() {
        for torn in ["", "\n", &LINE[..20], LINE] {
            let log = format!("{LINE}\n\n{LINE}\n{torn}");
            assert_eq!(
                read(log.as_bytes()).map(Result::unwrap).count(),
                2,
                "{torn}"
            );
        }
    }

    #[test]
    fn a_bad_line_is_named_and_skipped() {
        let log = format!("{LINE}\nnonsense\n{LINE}\n");
        let results: Vec<_> = read(log.as_bytes()).collect();
        assert_eq!(
            results[1].as_ref().unwrap_err().to_string(),
            "line 2 of the log is not an event"
        );
        assert!(results[2].is_ok());
    }
}
