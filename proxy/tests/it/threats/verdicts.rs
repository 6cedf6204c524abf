//! One verdict, whichever way the question comes: addresses behind names, aliases of this machine, ports, suffixes.

mod own_addresses;
mod table;

use super::{Adapter, Cell, Rig};
use crate::support::dns::Zone;
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, Outcome, block, frame, preface};

/// What must come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// 403 for this reason, and nothing at the origin.
    Refused(&'static str),
    /// 502 for this reason, and nothing at the origin.
    Failed(&'static str),
    Reached,
}

use Verdict::{Failed, Reached, Refused};
use table::ROWS;

struct Row {
    threat: &'static str,
    /// `proxy-config.json`; `{port}` is the origin's, `{own}` the proxy's.
    policy: &'static str,
    /// What `canary.test` and every other name of the table resolves to.
    addresses: &'static [&'static str],
    authority: &'static str,
    verdict: Verdict,
}

const fn row(
    threat: &'static str,
    policy: &'static str,
    addresses: &'static [&'static str],
    authority: &'static str,
    verdict: Verdict,
) -> Row {
    Row {
        threat,
        policy,
        addresses,
        authority,
        verdict,
    }
}

/// What the rows try: all of them, every way.
pub(crate) fn cells() -> Vec<Cell> {
    let cells = ROWS
        .iter()
        .flat_map(|row| Adapter::ALL.map(|adapter| (row.threat, adapter)));
    cells.collect()
}

impl Row {
    async fn run(&self, rig: &Rig, adapter: Adapter) -> Result<(), String> {
        let origin = rig.origin(adapter);
        let fill = |text: &str| {
            text.replace("{port}", &origin.port().to_string())
                .replace("{own}", &rig.world.address.port().to_string())
        };
        let authority = fill(self.authority);
        let name = authority
            .rsplit_once(':')
            .unwrap()
            .0
            .trim_end_matches('.')
            .to_lowercase();
        let addresses = self
            .addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        if !self.addresses.is_empty() {
            rig.world.dns.set(&name, Zone::Always(addresses));
        }
        rig.world.set(&fill(self.policy));
        let (before, asked) = (origin.seen(), rig.world.dns.asked().len());
        let (status, reason) = ask(rig, adapter, &authority).await;
        let seen = origin.seen();
        let reached =
            seen.connections > before.connections || seen.requests.len() > before.requests.len();
        // Inside a stream only the status is read.
        let is = |expected| reason == expected || (adapter == Adapter::Http2 && reason.is_empty());
        let met = match self.verdict {
            Reached => reached,
            Refused(expected) => !reached && status == 403 && is(expected),
            Failed(expected) => !reached && status == 502 && is(expected),
        };
        let resolved = rig.world.dns.asked().len() > asked;
        // Refused by name: nobody was asked for it.
        let leaked = resolved && matches!(self.verdict, Refused("default" | "host-rule"));
        (met && !leaked).then_some(()).ok_or(format!(
            "{} {adapter:?} {authority} {:?} {:?}: {status} {reason}, reached: {reached}, resolved: {resolved}",
            self.threat, self.addresses, self.verdict
        ))
    }
}

/// Status and reason; 0 and nothing where a stream has no reason to be read.
pub(super) async fn ask(rig: &Rig, adapter: Adapter, authority: &str) -> (u16, String) {
    use crate::support::Tunnel;
    use crate::support::client::{client_config, raw};
    if adapter == Adapter::Absolute {
        let request = format!(
            "GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
        );
        // None where the connection was cut: what the request was let in for was taken back while it ran.
        let answer = raw(rig.world.address, request.as_bytes()).await;
        return answer.map_or((0, String::new()), |answer| {
            (answer.status, answer.reason().to_owned())
        });
    }
    let tunnel = match rig.world.connect(authority).await {
        Ok(tunnel) => tunnel,
        Err(answer) => return (answer.status, answer.reason().to_owned()),
    };
    let head = rig.text(
        adapter,
        &format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
    );
    if adapter == Adapter::Tunnel {
        let mut tunnel = tunnel;
        tunnel.send(&head).await;
        let answer = tunnel.answer().await.unwrap();
        return (answer.status, answer.reason().to_owned());
    }
    let alpn: &[u8] = if adapter == Adapter::Http2 {
        b"h2"
    } else {
        b"http/1.1"
    };
    let host = authority
        .rsplit_once(':')
        .unwrap()
        .0
        .trim_end_matches('.')
        .to_lowercase();
    let host = host.replace("host.docker.internal", "localhost");
    let host = host.trim_matches(['[', ']']);
    let tls = tunnel
        .tls_with(client_config(&rig.world.ca(), &[alpn]), host)
        .await;
    let mut tls: Tunnel<_> = tls.unwrap();
    if adapter == Adapter::Http2 {
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", authority),
            (":path", "/"),
        ];
        let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields));
        tls.send(&[preface(), request].concat()).await;
        return match tls.outcome(1).await {
            Outcome::Status(status) => (status, String::new()),
            _ => (0, String::new()),
        };
    }
    tls.send(&head).await;
    let answer = tls.answer().await.unwrap();
    (answer.status, answer.reason().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows() {
    let rig = Rig::new().await;
    let mut wrong = Vec::new();
    for (row, adapter) in ROWS
        .iter()
        .flat_map(|row| Adapter::ALL.map(|adapter| (row, adapter)))
    {
        wrong.extend(row.run(&rig, adapter).await.err());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
