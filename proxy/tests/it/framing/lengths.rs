//! Bodies whose end two readers would see in different places.

use super::{GET, POST, Row, bad};

/// What `Transfer-Encoding: ` goes on with.
const CODINGS: &[&str] = &[
    "chunked\r\nTransfer-Encoding: chunked",
    "chunked\r\nTransfer-Encoding: identity",
    "xchunked",
    "chunked;x",
    ",chunked",
    "chunked,",
    "gzip, chunked",
    "\"chunked\"",
    "\u{a0}chunked",
    "\x0bchunked",
    "{xa0}chunked",
    "chunked\x0b",
    "chunked, identity",
];

/// What `Content-Length: ` goes on with, and a body.
const LENGTHS: &[(&str, &str)] = &[
    ("+1", "a"),
    ("-1", "a"),
    ("0x1", "a"),
    ("010", "0123456789"),
    ("1_0", "0123456789"),
    ("1,1", "a"),
    ("1 1", "a"),
    ("1\r\nContent-Length: 1", "a"),
    ("1\r\nContent-Length: 2", "ab"),
    ("18446744073709551616", "a"),
    ("1\x0b", "a"),
    ("{xa0}1", "a"),
    ("\"1\"", "a"),
];

pub(super) fn rows() -> Vec<Row> {
    let no_chunks = "\r\n\r\n0\r\n\r\n";
    let mut rows = vec![
        // Two lengths.
        bad(
            "H1",
            format!("{POST}Content-Length: 3\r\nTransfer-Encoding: chunked{no_chunks}"),
        ),
        bad(
            "H1",
            format!("{POST}Transfer-Encoding: chunked\r\nContent-Length: 3{no_chunks}"),
        ),
        bad(
            "H1",
            format!("{GET}Content-Length: 0\r\nTransfer-Encoding: chunked{no_chunks}"),
        ),
        // None.
        bad("H2", format!("{POST}Transfer-Encoding: identity\r\n\r\n")),
        bad("H2", format!("{POST}Transfer-Encoding:\r\n\r\n")),
        bad("H3", format!("{POST}Content-Length:\r\n\r\n")),
        // Chunks that HTTP/1.0 does not know.
        bad(
            "H2",
            POST.replace("HTTP/1.1", "HTTP/1.0") + "Transfer-Encoding: chunked" + no_chunks,
        ),
        // CVE-2025-32094: a fold that hides what the body is.
        bad(
            "H7",
            "OPTIONS {at}/ HTTP/1.1\r\nHost: {host}\r\nExpect:\r\n 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        ),
        bad(
            "H7",
            format!(
                "{POST}Expect: 100-continue\r\nContent-Length: 0\r\nContent-Length: 3\r\n\r\nabc"
            ),
        ),
        bad(
            "H7",
            format!(
                "{POST}Expect: 100-continue\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"
            ),
        ),
    ];
    rows.extend(CODINGS.iter().map(|coding| {
        let head = format!("{POST}Transfer-Encoding: {coding}{no_chunks}");
        bad("H2", head)
    }));
    rows.extend(LENGTHS.iter().map(|(length, body)| {
        let head = format!("{POST}Content-Length: {length}\r\n\r\n{body}");
        bad("H3", head)
    }));
    rows
}
