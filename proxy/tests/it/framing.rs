//! Requests two parsers could read differently: none reaches an origin.

use crate::support::origin::ok;
use crate::support::world::deny;
use crate::support::{Canary, Reply, Tunnel, World};
use crate::threats::{Adapter, Cell, Rig};

async fn world() -> (World, Canary, String) {
    let canary = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", canary.port());
    let world = World::new(&deny(&[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    (world, canary, authority)
}

/// A head, the threat it tries, and what becomes of it: on the proxy's own port, inside a tunnel, inside interception.
struct Row {
    threat: &'static str,
    head: &'static str,
    expected: [Expected; 3],
}

#[derive(Clone, Copy)]
enum Expected {
    /// This status; 200 and nothing else reaches the origin.
    Status(u16),
    /// The end of the connection: it does not begin like HTTP.
    Closed,
    /// Anything but an answer by the origin, which gets no whole request.
    Cut,
    /// There is nothing to try.
    No(&'static str),
}

use Expected::{Closed, Cut, No, Status};

const fn row(threat: &'static str, head: &'static str, expected: [Expected; 3]) -> Row {
    Row {
        threat,
        head,
        expected,
    }
}

const fn good(threat: &'static str, head: &'static str) -> Row {
    row(threat, head, [Status(200); 3])
}

/// Refused as ambiguous, wherever it is said.
const fn bad(threat: &'static str, head: &'static str) -> Row {
    row(threat, head, [Status(400); 3])
}

/// A body in chunks that is none.
const fn chunks(head: &'static str) -> Row {
    row("H5", head, [Cut; 3])
}

/// The same, and in a tunnel nobody would take it for HTTP.
const fn alien(threat: &'static str, head: &'static str) -> Row {
    row(threat, head, [Status(400), Closed, Status(400)])
}

/// For another host than the tunnel's.
const fn elsewhere(threat: &'static str, head: &'static str, outside: u16) -> Row {
    row(threat, head, [Status(outside), Status(421), Status(421)])
}

/// Something only a request to the proxy itself can say.
const fn outside(threat: &'static str, head: &'static str) -> Row {
    let no = No("the tunnel has its target already");
    row(threat, head, [Status(400), no, no])
}

const ROWS: &[Row] = &[
    // The same shapes without the flaw arrive.
    good("ok", "GET {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    good("ok", "PURGE {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    good(
        "ok",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nX: caf\u{e9}\r\n\r\n",
    ),
    good("ok", "GET {at}/?q=%00{|} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    good(
        "ok",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc",
    ),
    good(
        "ok",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    // Two lengths.
    bad(
        "H1",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H1",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H1",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    // `Transfer-Encoding` that two readers could take differently.
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked;x\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: identity\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding:\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: \u{a0}chunked\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: {xa0}chunked\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    bad(
        "H2",
        "POST {at}/ HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    // `Content-Length` that is no plain number.
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: +1\r\n\r\na",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\na",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0x1\r\n\r\na",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 010\r\n\r\n0123456789",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1_0\r\n\r\n0123456789",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length:\r\n\r\n",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1,1\r\n\r\na",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1 1\r\n\r\na",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 18446744073709551616\r\n\r\na",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\x0b\r\n\r\na",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: {xa0}1\r\n\r\na",
    ),
    bad(
        "H3",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: \"1\"\r\n\r\na",
    ),
    // Line ends and control characters.
    bad("H4", "GET {at}/ HTTP/1.1\rX: y\r\nHost: {host}\r\n\r\n"),
    bad("H4", "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nX\0: a\r\n\r\n"),
    bad("H4", "GET {at}/ HTTP/1.1\nHost: {host}\n\n"),
    bad("H4", "GET {at}/ HTTP/1.1\r\nHost: {host}\nX: y\r\n\r\n"),
    bad("H4", "GET {at}/ HTTP/1.1\r\nHost: {host}\r\n\n"),
    bad(
        "H4",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nX: a\rb\r\n\r\n",
    ),
    bad(
        "H4",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nX: a\r\r\nY: b\r\n\r\n",
    ),
    bad(
        "H4",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nX: a\0b\r\n\r\n",
    ),
    bad(
        "H4",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nX: a\x7fb\r\n\r\n",
    ),
    bad("H4", "GET {at}/\0 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    alien("H4", "\r\nGET {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    // Fields.
    bad(
        "H6",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nX: a\r\n folded\r\n\r\n",
    ),
    bad(
        "H6",
        "GET {at}/ HTTP/1.1\r\n Host: {host}\r\nHost: {host}\r\n\r\n",
    ),
    bad("H6", "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nX : a\r\n\r\n"),
    bad(
        "H6",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length : 1\r\n\r\na",
    ),
    bad("H6", "GET {at}/ HTTP/1.1\r\nHost: {host}\r\n: a\r\n\r\n"),
    bad(
        "H6",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nno colon\r\n\r\n",
    ),
    bad(
        "H6",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nX\u{e9}: a\r\n\r\n",
    ),
    bad(
        "H6",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nX{xa0}: a\r\n\r\n",
    ),
    // CVE-2025-32094: a fold that hides what the body is.
    bad(
        "H7",
        "OPTIONS {at}/ HTTP/1.1\r\nHost: {host}\r\nExpect:\r\n 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    ),
    bad(
        "H7",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 0\r\nContent-Length: 3\r\n\r\nabc",
    ),
    bad(
        "H7",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    ),
    bad("H6", "GET {at}/ HTTP/1.1\r\n\r\n"),
    bad(
        "H6",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n",
    ),
    bad("H6", "GET {at}/ HTTP/1.1\r\nHost:\r\n\r\n"),
    bad(
        "H6",
        "GET {at}/ HTTP/1.1\r\nHost: {host}, evil.test\r\n\r\n",
    ),
    bad("H6", "GET {at}/ HTTP/1.1\r\nHost: {host} evil.test\r\n\r\n"),
    bad("H6", "GET {at}/ HTTP/1.1\r\nHost: u@{host}\r\n\r\n"),
    bad("H6", "GET {at}/ HTTP/1.1\r\nHost: {host}/x\r\n\r\n"),
    // One request, two destinations.
    elsewhere("D1", "GET {at}/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", 400),
    outside(
        "D1",
        "GET http://evil.test/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    outside(
        "D1",
        "GET http://{host}@evil.test/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    outside(
        "D1",
        "GET http://evil.test\\@{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    outside("D1", "CONNECT {host} HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
    // One request inside a tunnel to somewhere else.
    elsewhere(
        "D4",
        "GET {at}/ HTTP/1.1\r\nHost: canary.test:1\r\n\r\n",
        400,
    ),
    elsewhere("D4", "GET {at}/ HTTP/1.1\r\nHost: open.test\r\n\r\n", 400),
    elsewhere(
        "D4",
        "GET {at}/ HTTP/1.1\r\nHost: www.canary.test\r\n\r\n",
        400,
    ),
    elsewhere("D4", "GET {at}/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    row(
        "D10",
        "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
        [Status(403), Status(405), Status(405)],
    ),
    elsewhere(
        "D10",
        "GET https://evil.test/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        400,
    ),
    elsewhere(
        "D10",
        "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        403,
    ),
    // `Connection` that would drop what frames, routes or authenticates.
    bad(
        "H8",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close, Transfer-Encoding\r\n\r\n",
    ),
    bad(
        "H8",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: Content-Length\r\n\r\n",
    ),
    bad(
        "H8",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: Host\r\n\r\n",
    ),
    bad(
        "H8",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: authorization\r\n\r\n",
    ),
    bad(
        "H8",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: x-api-key\r\n\r\n",
    ),
    bad(
        "H8",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: cookie\r\n\r\n",
    ),
    // Request targets.
    bad("H11", "GET * HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "OPTIONS */x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    outside("H11", "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    outside("H11", "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "CONNECT / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad(
        "H11",
        "CONNECT http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    outside(
        "H11",
        "CONNECT canary.test HTTP/1.1\r\nHost: canary.test\r\n\r\n",
    ),
    bad("H11", "GET {at}/#f HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET {at}\\x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET {at}/\u{e9} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET {at}/ x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET  {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET {at}/\r\nHost: {host}\r\n\r\n"),
    row(
        "H11",
        "GET https://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        [Status(400), Status(421), Status(200)],
    ),
    elsewhere(
        "H11",
        "GET ftp://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        400,
    ),
    elsewhere(
        "H11",
        "GET gopher://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        400,
    ),
    elsewhere(
        "H11",
        "GET ws://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        400,
    ),
    bad(
        "H11",
        "GET file:///etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    bad("H11", "GET urn:x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET http:///x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET {at}/ HTTP/2.0\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET {at}/ HTTP/1.2\r\nHost: {host}\r\n\r\n"),
    bad("H11", "GET {at}/ HTTP/11\r\nHost: {host}\r\n\r\n"),
    bad("H11", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    // Methods.
    row(
        "H12",
        "TRACE {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        [Status(405); 3],
    ),
    row(
        "H12",
        "TRACK {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        [Status(405); 3],
    ),
    alien("H12", "G(T {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    alien("H12", "G\u{e9}T {at}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    // Upgrades to something else, or with more than a handshake.
    bad(
        "D11",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: TLS/1.0\r\n\r\n",
    ),
    bad(
        "D11",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: irc\r\n\r\n",
    ),
    bad(
        "D11",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
    ),
    bad(
        "D11",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
    ),
    bad(
        "D11",
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ),
    bad(
        "D11",
        "GET {at}/ HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0_3\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3{xa0}\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3;a\0\r\nabc\r\n0\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\rabc\r\n0\r\n\r\n",
    ),
    chunks("POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"),
    chunks("POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n"),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX\ny\r\n\r\n",
    ),
    chunks(
        "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
];

impl Row {
    async fn run(&self, rig: &Rig, adapter: Adapter, expected: Expected) -> Result<(), String> {
        let bytes = rig.text(adapter, self.head);
        let what = format!("{} {adapter:?} {}", self.threat, bytes.escape_ascii());
        let origin = rig.origin(adapter);
        let before = origin.seen();
        let mut client = rig.wire(adapter).await;
        client.send(&bytes).await;
        let answer = client.answer().await;
        match (expected, &answer) {
            (Status(200), Some(answer))
                if answer.status
                    == if adapter == Adapter::WebSocket {
                        101
                    } else {
                        200
                    } =>
            {
                let arrived = origin.requests().len() - before.requests.len();
                return (arrived == 1)
                    .then_some(())
                    .ok_or(format!("{what}: {arrived} arrived"));
            }
            (Closed, None) => {}
            (Cut, None) => {}
            (Cut, Some(answer)) if answer.status != 200 => {}
            (Status(status), Some(answer))
                if answer.status == status && !answer.reason().is_empty() =>
            {
                if status == 400 && !client.rest().await.is_empty() {
                    return Err(format!("{what}: the connection goes on"));
                }
            }
            _ => return Err(format!("{what}: {answer:?}")),
        }
        if matches!(expected, Cut) {
            let whole = origin.requests().len() - before.requests.len();
            if whole > 0 {
                return Err(format!("{what}: a whole request arrived"));
            }
        } else if origin.seen().bytes.len() != before.bytes.len() {
            return Err(format!("{what}: it arrived"));
        }
        // Control: where nobody reads, all of it arrives.
        rig.control(adapter, &bytes).await;
        Ok(())
    }

    fn expected(&self, adapter: Adapter) -> Expected {
        let [outside, tunnel, tls] = self.expected;
        match (adapter, tls) {
            (Adapter::Absolute, _) => outside,
            (Adapter::Tunnel, _) => tunnel,
            (Adapter::WebSocket, _) if self.head.starts_with('\r') => {
                No("the handshake's fields would come before the request")
            }
            (Adapter::WebSocket, Status(200)) if !self.head.starts_with("GET ") => {
                No("a WebSocket begins with GET and no body; see upgrade.rs")
            }
            (Adapter::Http1 | Adapter::Http2 | Adapter::WebSocket, tls) => tls,
        }
    }
}

/// What the rows try.
pub(crate) fn cells() -> Vec<Cell> {
    let cells = ROWS.iter().flat_map(|row| {
        let tried = Adapter::TEXT
            .into_iter()
            .filter(|adapter| !matches!(row.expected(*adapter), No(_)));
        tried.map(|adapter| (row.threat, adapter))
    });
    cells.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows() {
    let rig = Rig::new().await;
    let mut wrong = Vec::new();
    for (row, adapter) in ROWS
        .iter()
        .flat_map(|row| Adapter::TEXT.map(|adapter| (row, adapter)))
    {
        match row.expected(adapter) {
            No(why) => println!("{} {adapter:?} {:?}: {why}", row.threat, row.head),
            expected => wrong.extend(row.run(&rig, adapter, expected).await.err()),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// After a refusal the connection ends: what follows never becomes a request.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_refusal() {
    let (world, canary, authority) = world().await;
    let smuggled = format!("GET http://{authority}/smuggled HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let bad = format!(
        "POST http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"
    );
    let mut client = Tunnel {
        io: crate::support::client::connect(world.address).await,
    };
    client.send(bad.as_bytes()).await;
    let rest = String::from_utf8_lossy(&client.rest().await).into_owned();
    assert!(rest.starts_with("HTTP/1.1 400 "), "{rest}");
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{rest}");
    assert_eq!(canary.seen().connections, 0);
    // Control: on its own it is an ordinary request.
    let mut client = Tunnel {
        io: crate::support::client::connect(world.address).await,
    };
    client.send(smuggled.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
}

/// A refused request after a good one is answered in its turn.
#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_their_order() {
    let (world, canary, authority) = world().await;
    let good = format!("GET http://{authority}/1 HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let bad = format!("GET http://{authority}/2 HTTP/1.1\r\nHost: {authority}\r\nHost: x\r\n\r\n");
    let mut client = Tunnel {
        io: crate::support::client::connect(world.address).await,
    };
    client
        .send(format!("{good}{good}{bad}{good}").as_bytes())
        .await;
    let rest = String::from_utf8_lossy(&client.rest().await).into_owned();
    let statuses: Vec<_> = rest
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &rest[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "200", "400"], "{rest}");
    assert_eq!(canary.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_and_extensions_are_filtered() {
    let rig = Rig::new().await;
    for adapter in [Adapter::Absolute, Adapter::Tunnel, Adapter::Http1] {
        let request = "POST {at}/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n\
            3;evil=\"x\"\r\nabc\r\n0\r\nAuthorization: secret\r\nContent-Length: 5\r\nHost: evil\r\n\r\n";
        let mut client = rig.wire(adapter).await;
        client.send(&rig.text(adapter, request)).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        let arrived = rig.origin(adapter).requests().pop().unwrap();
        assert!(
            arrived.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            "{adapter:?} {arrived:?}"
        );
        for word in ["evil", "secret"] {
            assert!(!arrived.contains(word), "{adapter:?} {arrived:?}");
        }
    }
}

/// The origin's go on to clients that want them, and nobody waits behind them for more.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_an_answer() {
    let canary = Canary::http(|_| {
        Reply::Send(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
              3\r\nabc\r\n0\r\nx-sum: 7\r\nset-cookie: evil\r\n\r\n"
                .to_vec(),
        )
    })
    .await;
    let authority = format!("canary.test:{}", canary.port());
    let world = World::new(&deny(&[&authority])).await;
    world.dns.points("canary.test", &["127.0.0.1"]);
    for (wants, trailers) in [("", ""), ("TE: trailers\r\n", "x-sum: 7\r\n")] {
        let request =
            format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{wants}\r\n");
        let mut client = Tunnel {
            io: crate::support::client::connect(world.address).await,
        };
        client.send(request.as_bytes()).await;
        let body = format!("3\r\nabc\r\n0\r\n{trailers}\r\n");
        let mut got = Vec::new();
        while !got.ends_with(body.as_bytes()) {
            got.extend(client.exactly(1).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn big_heads_are_refused() {
    let rig = Rig::new().await;
    let rows = [
        (format!("X: {}\r\n", "y".repeat(64 * 1024)), 431),
        ("X: y\r\n".repeat(10_000), 431),
        ("X: y\r\n".repeat(100), 431),
        ("X: y\r\n".repeat(90), 200),
        (format!("X: {}\r\n", "y".repeat(30 * 1024)), 200),
    ];
    for (adapter, (fields, status)) in Adapter::TEXT
        .iter()
        .flat_map(|adapter| rows.iter().map(move |row| (*adapter, row)))
    {
        let before = rig.origin(adapter).requests().len();
        let head = format!("GET {{at}}/ HTTP/1.1\r\nHost: {{host}}\r\n{fields}\r\n");
        let mut client = rig.wire(adapter).await;
        // The answer may come before all of it is read.
        let _ =
            tokio::io::AsyncWriteExt::write_all(&mut client.io, &rig.text(adapter, &head)).await;
        let answer = client.answer().await.map(|answer| answer.status);
        let wanted = match (status, adapter) {
            (200, Adapter::WebSocket) => 101,
            _ => *status,
        };
        assert_eq!(answer, Some(wanted), "{adapter:?} {} bytes", fields.len());
        let arrived = rig.origin(adapter).requests().len() - before;
        assert_eq!(
            arrived,
            usize::from(*status == 200),
            "{adapter:?} {} bytes",
            fields.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_runs_out_of_time() {
    let canary = Canary::http(|_| ok("hello")).await;
    let authority = format!("canary.test:{}", canary.port());
    let limits = proxy::Limits {
        head: std::time::Duration::from_millis(200),
        ..proxy::Limits::default()
    };
    let world = World::with(&deny(&[&authority]), limits).await;
    let mut client = Tunnel {
        io: crate::support::client::connect(world.address).await,
    };
    client.send(b"GET http://").await;
    let began = std::time::Instant::now();
    client.rest().await;
    assert!(began.elapsed().as_secs() < 5);
}
