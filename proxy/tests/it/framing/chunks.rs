//! Bodies in chunks that are none.

use super::{Cut, POST, Row, row};

/// What stands where `3\r\nabc\r\n0\r\n\r\n` would be right.
const BODIES: &[&str] = &[
    // Line ends.
    "3\nabc\r\n0\r\n\r\n",
    "3\rabc\r\n0\r\n\r\n",
    "3\r\nabcX\r\n0\r\n\r\n",
    "3\r\nabc\n0\r\n\r\n",
    "\r\n",
    "\r\n3\r\nabc\r\n0\r\n\r\n",
    "0\r\n\n",
    // Sizes.
    "0_3\r\nabc\r\n0\r\n\r\n",
    "0x3\r\nabc\r\n0\r\n\r\n",
    "-3\r\nabc\r\n0\r\n\r\n",
    "+3\r\nabc\r\n0\r\n\r\n",
    " 3\r\nabc\r\n0\r\n\r\n",
    "3 \r\nabc\r\n0\r\n\r\n",
    "3{xa0}\r\nabc\r\n0\r\n\r\n",
    "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
    // Extensions.
    "3;a\rb\r\nabc\r\n0\r\n\r\n",
    "3;a\nb\r\nabc\r\n0\r\n\r\n",
    "3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n",
    "3;a\0\r\nabc\r\n0\r\n\r\n",
    // A trailer.
    "0\r\nX\ny\r\n\r\n",
];

pub(super) fn rows() -> Vec<Row> {
    let rows = BODIES.iter().map(|body| {
        let head = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{body}");
        row("H5", head, [Cut; 3])
    });
    rows.collect()
}
