//! What the guest's init says on the console, which the host keeps in a bounded file.

use std::fmt::Write as _;
use std::io::Write;

/// Writes one line. Never fails: there is nobody to tell.
pub fn line(text: &str) {
    let line = format!("sandbox-init: {text}\n");
    drop(std::io::stderr().write_all(line.as_bytes()));
}

/// Writes an error and all its causes on one line.
pub fn error(context: &str, error: &dyn std::error::Error) {
    let mut text = format!("{context}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    line(&text);
}
