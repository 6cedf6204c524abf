//! What a helper process has to say to the person: a line of its standard error, which the supervisor reads.

/// Begins such a line.
const NOTE: &str = "sandbox-note: ";

/// Says `text` to the supervisor, which passes it on.
#[expect(
    clippy::print_stderr,
    reason = "a helper's standard error is its channel to the supervisor"
)]
pub(crate) fn note(text: &str) {
    eprintln!("{NOTE}{text}");
}

/// The note in a line of a helper's standard error, if it is one.
pub(crate) fn note_in(line: &str) -> Option<&str> {
    line.strip_prefix(NOTE)
}
