//! Connections, descriptors and local ports that run out.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http_body_util::BodyExt as _;
use proxy::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::h2::{Client, full};
use crate::support::network;
use crate::support::origin::ok;
use crate::support::{Reply, Tunnel, World, soon};
use crate::threats::{Adapter, Rig};

/// R2: connections over the limit are turned away at once, and those within it do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_leaves_room_for_those_within() {
    let limits = Limits {
        connections: 20,
        ..Limits::default()
    };
    let rig = Rig::with(limits, |_| ok("hello")).await;
    let authority = rig.authority(Adapter::Absolute);
    let get = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let mut within = rig.world.dial().await;
    within.send(get.as_bytes()).await;
    assert_eq!(within.answer().await.unwrap().status, 200);
    // One after the other: three hundred at once are more than the kernel keeps for a busy proxy, and it drops some.
    let mut flood = Vec::new();
    for _ in 0..300 {
        flood.push(rig.world.dial().await);
    }
    // Those that got in say nothing, and stay until the head's deadline; the others are answered at once.
    let mut answers: FuturesUnordered<_> = flood.iter_mut().map(Tunnel::answer).collect();
    let mut turned_away = 0;
    while turned_away < 250 {
        let answer = soon("a refusal", answers.next()).await.unwrap();
        turned_away += usize::from(answer.is_some_and(|answer| answer.status == 503));
    }
    drop(answers);
    within.send(get.as_bytes()).await;
    assert_eq!(within.answer().await.unwrap().status, 200);
}

/// R3, F19: without descriptors the proxy waits and answers 502, does not spin, and goes on when there are some.
#[test]
fn descriptors_may_run_out() {
    const CHILD: &str = "PROXY_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        // The limit is the process's, so this runs in one of its own.
        let test = "exhaustion::resources::descriptors_may_run_out";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(without_descriptors());
}

async fn without_descriptors() {
    let (world, _canary, authority) = World::around(|_| ok("hello")).await;
    assert_eq!(world.get(&authority, "/").await.status, 200);
    let stat = File::open("/proc/self/stat").unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let limit = Rlimit {
        current: Some(open + 24),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    // Clients of the same process take what is left: the proxy's `accept` fails, too.
    let mut held = Vec::new();
    while let Ok(socket) = tokio::net::TcpSocket::new_v4() {
        held.push(socket);
    }
    assert!(!held.is_empty());
    let mut clients = Vec::new();
    for _ in 0..4 {
        // A free one goes to a client, and none is left to accept it with.
        held.pop();
        #[expect(
            clippy::disallowed_methods,
            reason = "a test is a client of the proxy, not the proxy"
        )]
        let client = tokio::net::TcpStream::connect(world.address).await;
        clients.extend(client);
        while let Ok(socket) = tokio::net::TcpSocket::new_v4() {
            held.push(socket);
        }
    }
    let (spent, began) = (cpu(&stat), Instant::now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let share = (cpu(&stat) - spent).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < 0.5, "{share} of a core is spent on waiting");
    drop((held, clients));
    let again = async { while world.try_get(&authority, "/").await != Some(200) {} };
    soon("an answer again", again).await;
}

/// F19: with no local port left, an origin is a 502 that says so, others are reached, and it goes on when there are some.
#[tokio::test(flavor = "multi_thread")]
async fn local_ports_may_run_out() {
    const PORTS: usize = 8;
    if !network::is_own("exhaustion::resources::local_ports_may_run_out") {
        return;
    }
    let rig = Rig::answering(|request| match request.starts_with("GET /held") {
        true => Reply::Hang,
        false => ok("hello"),
    })
    .await;
    // One connection to the proxy, however many it opens: clients need ports, too.
    let authority = rig.authority(Adapter::Http2);
    let client = Client::connect(&rig.world, &authority, &[b"h2"]).await;
    assert_eq!(client.get("/").await.0, 200);
    let range = format!("40000 {}", 40000 + PORTS - 1);
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).unwrap();
    let asked = 2 * PORTS;
    let mut held: FuturesUnordered<_> = (0..asked)
        .map(|number| {
            let request = client.request(&format!("/held{number}"));
            let sender = client.sender.clone();
            let body = full("");
            async move { { sender }.send_request(request.body(body).unwrap()).await }
        })
        .collect();
    let (mut refused, origin) = (0, rig.origin(Adapter::Http2));
    // The connection on which the first request was answered is used again.
    while refused < asked - PORTS - 1 {
        let answer = soon("a refusal", held.next()).await.unwrap().unwrap();
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.headers()["x-sandbox-reason"], "connect-no-port");
        let page = soon("its page", answer.into_body().collect())
            .await
            .unwrap();
        let page = String::from_utf8(page.to_bytes().to_vec()).unwrap();
        assert!(page.contains("no local port left"), "{page}");
        refused += 1;
    }
    origin
        .until("the others", |seen| {
            seen.requests.len() == 1 + asked - refused
        })
        .await;
    // A port is taken for one address and port only.
    let other = rig.authority(Adapter::Absolute);
    assert_eq!(rig.world.get(&other, "/").await.status, 200);
    drop(held);
    let again = async { while client.get("/").await.0 != 200 {} };
    soon("an answer again", again).await;
    assert_eq!(rig.world.proxy.counters().panics, 0);
}

/// What this process has spent. The file is open already: there may be no descriptor for another.
fn cpu(stat: &File) -> Duration {
    let mut text = [0; 1024];
    let length = stat.read_at(&mut text, 0).unwrap();
    let text = std::str::from_utf8(&text[..length]).unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
