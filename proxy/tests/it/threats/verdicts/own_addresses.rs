//! N6: this machine by the addresses of its interfaces, where services that are bound to `0.0.0.0` answer.

use std::path::Path;
use std::time::{Duration, Instant};

use super::table::{BARE, CANARY, NAMED};
use super::{Adapter, Failed, Reached, Refused, Rig, Row, ask};
use crate::support::Reply;
use crate::support::namespace::{ip, try_ip};
use crate::support::network;
use crate::support::soon;
use proxy::Limits;

/// Addresses as machines have them, and how `ip` is told: of a LAN, public, of containers, of an overlay network, of a
/// tunnel with two ends, and of IPv6.
const OWN: &[(&str, &str)] = &[
    ("10.1.2.3", "10.1.2.3/16"),
    ("198.51.100.7", "198.51.100.7/24"),
    ("172.17.0.1", "172.17.0.1/16"),
    ("100.64.7.7", "100.64.7.7/32"),
    ("10.9.0.1", "10.9.0.1 peer 10.9.0.2"),
    ("fd12:3456::10", "fd12:3456::10/64 nodad"),
];

/// Policies under which nothing but its being this machine's speaks against an address, and what is asked for under
/// them. `{address}` is the address as a host, `{net}` as a network.
const REFUSED: &[(&str, &str)] = &[
    (BARE, "{address}:{port}"),
    (BARE, CANARY),
    // No more does a rule without a port, a wildcard, a lifted network, or not being read.
    (
        r#"{"policy":"deny","network":{"allowedDomains":["{address}"]}}"#,
        "{address}:{port}",
    ),
    (
        r#"{"policy":"deny","network":{"allowedDomains":["canary.test"]}}"#,
        CANARY,
    ),
    (
        r#"{"policy":"deny","network":{"allowedDomains":["*.test:{port}"],"allowCIDR":["{net}"]}}"#,
        CANARY,
    ),
    (
        r#"{"policy":"allow","network":{"bypassDomains":["canary.test"],"bypassCIDR":["{net}"],"blockCIDR":[]}}"#,
        CANARY,
    ),
];

/// The controls: a rule that names host and port opens the same address.
const REACHED: &[(&str, &str)] = &[
    (
        r#"{"policy":"deny","network":{"allowedDomains":["{address}:{port}"]}}"#,
        "{address}:{port}",
    ),
    (NAMED, CANARY),
];

/// A rig whose origins answer on every address of the machine. They end each connection with the answer: one that is kept
/// would be dead, and nobody told, once its address is gone.
async fn everywhere(has_v6: bool) -> Rig {
    let bind = if has_v6 { "[::]:0" } else { "0.0.0.0:0" };
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    Rig::at(bind, Limits::default(), |_| {
        Reply::SendAndClose(answer.to_vec())
    })
    .await
}

/// The device that has the addresses: one like that of a LAN, or, where the kernel has none to give, loopback.
fn device() -> &'static str {
    let made = try_ip("link add lan0 type veth peer name lan1");
    if !made.status.success() {
        return "lo";
    }
    ip("link set lan1 up");
    ip("link set lan0 up");
    "lan0"
}

/// `text` with `address` filled in.
fn fill(text: &str, address: &str) -> &'static str {
    let (host, net) = match address.contains(':') {
        true => (format!("[{address}]"), format!("{address}/128")),
        false => (address.to_owned(), format!("{address}/32")),
    };
    let text = text.replace("{address}", &host).replace("{net}", &net);
    Box::leak(text.into_boxed_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_this_machine_are_refused() {
    if !network::is_own("threats::verdicts::own_addresses::addresses_of_this_machine_are_refused") {
        return;
    }
    let (device, has_v6) = (device(), Path::new("/proc/net/if_inet6").exists());
    let own = OWN.iter().filter(|(own, _)| has_v6 || !own.contains(':'));
    for (_, told) in own.clone() {
        ip(&format!("addr add {told} dev {device}"));
    }
    let rig = everywhere(has_v6).await;
    let mut wrong = Vec::new();
    for (address, _) in own {
        let refused = REFUSED.iter().map(|row| (row, Refused("this-machine")));
        let reached = REACHED.iter().map(|row| (row, Reached));
        for ((policy, authority), verdict) in refused.chain(reached) {
            let row = Row {
                threat: "N6",
                policy: fill(policy, address),
                addresses: Box::leak(vec![*address].into_boxed_slice()),
                authority: fill(authority, address),
                verdict,
            };
            // An address literal has nothing to resolve.
            let row = match authority.starts_with('{') {
                true => Row {
                    addresses: &[],
                    ..row
                },
                false => row,
            };
            for adapter in Adapter::ALL {
                wrong.extend(row.run(&rig, adapter).await.err());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// An address that comes while the proxy runs is refused as soon as the kernel has told of it, and when it has left it
/// is one like any other.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_come_and_go_are_noticed() {
    if !network::is_own("threats::verdicts::own_addresses::addresses_that_come_and_go_are_noticed")
    {
        return;
    }
    const ROUNDS: u8 = 6;
    let device = device();
    let rig = everywhere(false).await;
    let began = Instant::now();
    for round in 1..=ROUNDS {
        let address = format!("203.0.113.{round}");
        let row = |verdict| Row {
            threat: "N6",
            policy: BARE,
            addresses: &[],
            authority: fill("{address}:{port}", &address),
            verdict,
        };
        let all = async |verdict| {
            for adapter in Adapter::ALL {
                row(verdict).run(&rig, adapter).await.unwrap();
            }
        };
        let told = async |wanted: u16| {
            let authority = format!("{address}:{}", rig.origin(Adapter::Absolute).port());
            let asking =
                async { while ask(&rig, Adapter::Absolute, &authority).await.0 != wanted {} };
            soon("the address to be noticed", asking).await;
        };
        // Nobody's: no rule speaks against it, and no way leads there.
        all(Failed("connect-unreachable")).await;
        ip(&format!("addr add {address}/32 dev {device}"));
        told(403).await;
        all(Refused("this-machine")).await;
        ip(&format!("addr del {address}/32 dev {device}"));
        told(502).await;
        all(Failed("connect-unreachable")).await;
    }
    // Who only looked now and then, every five seconds, would need them for each of the twelve changes.
    let most = Duration::from_secs(5) * u32::from(ROUNDS);
    assert!(began.elapsed() < most, "{:?}", began.elapsed());
}
