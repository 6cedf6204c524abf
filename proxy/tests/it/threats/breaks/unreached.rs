//! F7: names whose servers fail or lie. F1, F3: addresses that refuse, reset or say nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use hickory_proto::op::ResponseCode;
use proxy::Limits;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use super::super::verdicts::ask;
use super::{Adapter, Rig};
use crate::support::client::connect;
use crate::support::dns::Zone;
use crate::support::origin::ok;
use crate::support::soon;
use crate::support::world::deny;

/// Why nothing is reached.
enum Fault {
    Name(Zone),
    /// Where it listens, if anybody does.
    Address(SocketAddr),
}

/// An address that takes connections and resets them at once.
async fn resetting() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_zero_linger().unwrap();
        }
    });
    address
}

/// An address where nobody listens: it stays bound, so that nobody will.
fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An address that says nothing: Linux takes one connection more than the backlog, and drops each SYN that comes after
/// (listen(2)).
async fn silent() -> ((TcpListener, TcpStream), SocketAddr) {
    let (socket, address) = refusing();
    let listener = socket.listen(0).unwrap();
    ((listener, connect(address).await), address)
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_addresses_that_lead_nowhere() {
    // Only what must run out of time waits for these.
    let limits = Limits {
        resolve: Duration::from_secs(3),
        connect: Duration::from_secs(3),
        ..Limits::default()
    };
    let rig = Rig::with(limits, |_| ok("hello")).await;
    let (_bound, refusing) = refusing();
    let (_held, silent) = silent().await;
    let rows: [(Fault, &[(u16, &str)]); 10] = [
        (
            Fault::Name(Zone::Code(ResponseCode::NXDomain)),
            &[(502, "dns-not-found")],
        ),
        (
            Fault::Name(Zone::Always(Vec::new())),
            &[(502, "dns-no-address")],
        ),
        (
            Fault::Name(Zone::Code(ResponseCode::ServFail)),
            &[(502, "dns-failed")],
        ),
        (
            Fault::Name(Zone::Code(ResponseCode::Refused)),
            &[(502, "dns-failed")],
        ),
        (Fault::Name(Zone::Silent), &[(502, "dns-timeout")]),
        (
            Fault::Name(Zone::WrongNumber),
            &[(502, "dns-timeout"), (502, "dns-failed")],
        ),
        (
            Fault::Name(Zone::Truncated),
            &[(502, "dns-failed"), (502, "dns-timeout")],
        ),
        (
            Fault::Name(Zone::Loop),
            &[(502, "dns-no-address"), (502, "dns-failed")],
        ),
        (Fault::Address(refusing), &[(502, "connect-refused")]),
        (Fault::Address(silent), &[(504, "connect-timeout")]),
    ];
    let asked = |row: usize, adapter: Adapter, fault: &Fault| {
        let name = format!("n{row}-{}.test", adapter.name());
        let port = match fault {
            Fault::Name(_) => rig.origin(adapter).port(),
            Fault::Address(address) => address.port(),
        };
        (name.clone(), format!("{name}:{port}"))
    };
    let cells: Vec<_> = rows
        .iter()
        .enumerate()
        .flat_map(|(row, (fault, told))| Adapter::ALL.map(|adapter| (row, adapter, fault, told)))
        .collect();
    let rules = cells
        .iter()
        .map(|(row, adapter, fault, _)| asked(*row, *adapter, fault).1);
    let rules: Vec<String> = rules.collect();
    rig.world
        .set(&deny(&rules.iter().map(String::as_str).collect::<Vec<_>>()));
    let tried = cells.iter().map(async |(row, adapter, fault, told)| {
        let (name, authority) = asked(*row, *adapter, fault);
        match fault {
            Fault::Name(zone) => rig.world.dns.set(&name, zone.clone()),
            Fault::Address(_) => rig.world.dns.points(&name, &["127.0.0.1"]),
        }
        let (status, _) = ask(&rig, *adapter, &authority).await;
        let is_line = |event: &proxy::audit::Event| {
            event.target.as_ref() == Some(&authority) && event.reason.is_some()
        };
        let line = rig.world.event(&authority, is_line).await;
        let reason = line.reason.unwrap_or_default();
        let met = told.contains(&(status, reason.as_str()));
        (!met).then(|| format!("{authority}: {status} {reason}, not {told:?}"))
    });
    let wrong: Vec<_> = join_all(tried).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let reached = Adapter::ALL.map(|adapter| rig.origin(adapter).seen().connections);
    assert_eq!(reached, [0; 5]);

    // A server that comes back is asked again within the five seconds that a failure is remembered at most.
    let began = Instant::now();
    for (row, adapter, fault, _) in &cells {
        if let Fault::Name(Zone::Code(ResponseCode::ServFail)) = fault {
            let (name, authority) = asked(*row, *adapter, fault);
            rig.world.dns.points(&name, &["127.0.0.1"]);
            let before = rig.origin(*adapter).seen().connections;
            let reached = async {
                while rig.origin(*adapter).seen().connections == before {
                    ask(&rig, *adapter, &authority).await;
                }
            };
            soon(&authority, reached).await;
        }
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

/// F7: without any name server it is the same, and nobody else is asked. F1: an address that resets at once.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_name_server_and_with_resets() {
    let deaf = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nobody = deaf.local_addr().unwrap();
    drop(deaf);
    let limits = Limits {
        resolve: Duration::from_secs(3),
        ..Limits::default()
    };
    let change = |options: &mut proxy::Options| {
        options.dns = Some(nobody);
        options.limits = limits;
    };
    let rig = Rig::made("127.0.0.1:0", change, |_| ok("hello")).await;
    let resets = resetting().await;
    // `localhost` is known to every machine, and this name to none: it is in no file and no other server's.
    let (unknown, reset) = ("canary.test:80".to_owned(), resets.to_string());
    rig.world.set(&deny(&[&unknown, &reset]));
    join_all(Adapter::ALL.map(async |adapter| {
        let (status, reason) = ask(&rig, adapter, &unknown).await;
        assert_eq!(status, 502, "{adapter:?}");
        assert!(
            reason.is_empty() || reason.starts_with("dns-"),
            "{adapter:?} {reason}"
        );
        let (status, reason) = ask(&rig, adapter, &reset).await;
        assert_eq!(status, 502, "{adapter:?}");
        let known = ["", "origin-closed", "origin-tls", "connect-failed"];
        assert!(known.contains(&&*reason), "{adapter:?} {reason}");
    }))
    .await;
}
