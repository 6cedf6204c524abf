//! Request lines: methods, targets, and requests for two destinations.

use super::{Expected, No, Row, Status, alien, bad, row};

/// Request lines before a good `Host` that are refused as ambiguous, wherever they are said.
const BAD: &[&str] = &[
    "GET * HTTP/1.1",
    "OPTIONS */x HTTP/1.1",
    "GET {host} HTTP/1.1",
    "GET x HTTP/1.1",
    "CONNECT / HTTP/1.1",
    "CONNECT http://{host}/ HTTP/1.1",
    "GET {at}/#f HTTP/1.1",
    "GET {at}\\x HTTP/1.1",
    "GET {at}/\u{e9} HTTP/1.1",
    "GET {at}/ x HTTP/1.1",
    "GET  {at}/ HTTP/1.1",
    "GET {at}/",
    "GET file:///etc/passwd HTTP/1.1",
    "GET urn:x HTTP/1.1",
    "GET http:///x HTTP/1.1",
    "GET {at}/ HTTP/2.0",
    "GET {at}/ HTTP/1.2",
    "GET {at}/ HTTP/11",
];

/// Hosts that are not the tunnel's: another port, another name, the same by its address.
const OTHERS: &[&str] = &["canary.test:1", "open.test", "www.canary.test", "127.0.0.1"];

/// For another host than the tunnel's; `said` is for where there is none.
fn elsewhere(threat: &'static str, line: &str, host: &str, said: u16) -> Row {
    let expected = [Status(said), Status(421), Status(421)];
    row(threat, head(line, host), expected)
}

/// Something only a request to the proxy itself can say.
fn outside(threat: &'static str, line: &str, host: &str) -> Row {
    const NO: Expected = No("the tunnel has its target already");
    row(threat, head(line, host), [Status(400), NO, NO])
}

fn head(line: &str, host: &str) -> String {
    format!("{line}\r\nHost: {host}\r\n\r\n")
}

pub(super) fn rows() -> Vec<Row> {
    let (at, host) = ("GET {at}/ HTTP/1.1", "{host}");
    let not_allowed = [Status(405); 3];
    let mut rows = vec![
        // One request, two destinations.
        elsewhere("D1", at, "evil.test", 400),
        outside("D1", "GET http://evil.test/ HTTP/1.1", host),
        outside("D1", "GET http://{host}@evil.test/ HTTP/1.1", host),
        outside("D1", "GET http://evil.test\\@{host}/ HTTP/1.1", host),
        outside("D1", "CONNECT {host} HTTP/1.1", "evil.test"),
        // One request inside a tunnel to somewhere else.
        row(
            "D10",
            head("CONNECT evil.test:443 HTTP/1.1", "evil.test:443"),
            [Status(403), Status(405), Status(405)],
        ),
        elsewhere("D10", "GET https://evil.test/ HTTP/1.1", host, 400),
        elsewhere("D10", "GET http://evil.test/ HTTP/1.1", "evil.test", 403),
        // Targets.
        outside("H11", "OPTIONS * HTTP/1.1", host),
        outside("H11", "GET / HTTP/1.1", host),
        outside("H11", "CONNECT canary.test HTTP/1.1", "canary.test"),
        row(
            "H11",
            head("GET https://{host}/ HTTP/1.1", host),
            [Status(400), Status(421), Status(200)],
        ),
        elsewhere("H11", "GET ftp://{host}/ HTTP/1.1", host, 400),
        elsewhere("H11", "GET gopher://{host}/ HTTP/1.1", host, 400),
        elsewhere("H11", "GET ws://{host}/ HTTP/1.1", host, 400),
        bad("H11", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        // Methods.
        row("H12", head("TRACE {at}/ HTTP/1.1", host), not_allowed),
        row("H12", head("TRACK {at}/ HTTP/1.1", host), not_allowed),
        alien("H12", head("G(T {at}/ HTTP/1.1", host)),
        alien("H12", head("G\u{e9}T {at}/ HTTP/1.1", host)),
    ];
    rows.extend(OTHERS.iter().map(|other| elsewhere("D4", at, other, 400)));
    rows.extend(BAD.iter().map(|line| bad("H11", head(line, host))));
    rows
}
