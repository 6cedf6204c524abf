//! What `Connection` and `Upgrade` ask of the next hop.

use super::{GET, POST, Row, bad};

/// Fields that frame, route or authenticate, which `Connection` would drop on the way.
const DROPPED: &[&str] = &[
    "close, Transfer-Encoding",
    "Content-Length",
    "Host",
    "authorization",
    "x-api-key",
    "cookie",
];

/// Protocols other than `websocket` alone.
const PROTOCOLS: &[&str] = &[
    "TLS/1.0",
    "irc",
    "websocket, h2c",
    "websocket\r\nUpgrade: h2c",
];

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![
        // More than a handshake.
        bad(
            "D11",
            format!("{POST}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        ),
        bad(
            "D11",
            format!(
                "{GET}Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc"
            ),
        ),
    ];
    rows.extend(DROPPED.iter().map(|dropped| {
        let head = format!("{GET}Connection: {dropped}\r\n\r\n");
        bad("H8", head)
    }));
    rows.extend(PROTOCOLS.iter().map(|protocol| {
        let head = format!("{GET}Connection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        bad("D11", head)
    }));
    rows
}
