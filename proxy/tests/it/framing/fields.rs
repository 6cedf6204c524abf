//! Line ends, control characters, and fields that are none.

use super::{GET, POST, Row, alien, bad};

/// Threats, and what follows a good request line and `Host`, up to the empty line.
const FIELDS: &[(&str, &str)] = &[
    ("H4", "X\0: a"),
    ("H4", "X: a\rb"),
    ("H4", "X: a\r\r\nY: b"),
    ("H4", "X: a\0b"),
    ("H4", "X: a\x7fb"),
    ("H6", "X: a\r\n folded"),
    ("H6", "X : a"),
    ("H6", ": a"),
    ("H6", "no colon"),
    ("H6", "X\u{e9}: a"),
    ("H6", "X{xa0}: a"),
    ("H6", "Host: {host}"),
];

/// Hosts that are none, or more than one.
const HOSTS: &[&str] = &[
    "",
    " {host}, evil.test",
    " {host} evil.test",
    " u@{host}",
    " {host}/x",
];

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![
        bad("H4", "GET {at}/ HTTP/1.1\rX: y\r\nHost: {host}\r\n\r\n"),
        bad("H4", "GET {at}/ HTTP/1.1\nHost: {host}\n\n"),
        bad("H4", "GET {at}/ HTTP/1.1\r\nHost: {host}\nX: y\r\n\r\n"),
        bad("H4", "GET {at}/ HTTP/1.1\r\nHost: {host}\r\n\n"),
        bad("H4", "GET {at}/\0 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        alien("H4", "\r\nGET {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        bad(
            "H6",
            "GET {at}/ HTTP/1.1\r\n Host: {host}\r\nHost: {host}\r\n\r\n",
        ),
        bad("H6", format!("{POST}Content-Length : 1\r\n\r\na")),
        bad("H6", "GET {at}/ HTTP/1.1\r\n\r\n"),
    ];
    rows.extend(FIELDS.iter().map(|(threat, field)| {
        let head = format!("{GET}{field}\r\n\r\n");
        bad(threat, head)
    }));
    rows.extend(HOSTS.iter().map(|host| {
        let head = GET.replace(" {host}", host) + "\r\n";
        bad("H6", head)
    }));
    rows
}
