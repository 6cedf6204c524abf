//! R1: slowhttptest, the tool that people use for it, in its four modes with a thousand connections each.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use proxy::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::process::{Child, Command};

use crate::support::network;
use crate::support::origin::ok;
use crate::support::{World, soon};

/// Connections of the tool, and how many of them at least must have come for it to have been an attack: at once, where
/// the mode keeps them open.
const CONNECTIONS: u64 = 1000;
const ATTACK: u64 = 300;

/// After this the tool gives up.
const LENGTH: Duration = Duration::from_secs(40);

/// MiB for all of it: 128 KiB a connection, the origin's end and what the origin recorded included.
const MEMORY: u64 = CONNECTIONS / 8;

/// How long an ordinary client waits for its answer meanwhile, at most: a debug build on a busy machine, with 500 new
/// connections a second.
const BOUND: Duration = Duration::from_secs(10);

/// The tool's modes, what is its own in each, and whether it keeps its connections open.
const MODES: &[(&str, &[&str], bool)] = &[
    ("slow heads", &["-H", "-i", "6"], true),
    ("slow bodies", &["-B", "-i", "6", "-s", "100000"], true),
    // The kernel takes the answers whole, and the proxy lets go of connections on which nothing more is asked.
    (
        "slow readers",
        &["-X", "-w", "16", "-y", "64", "-n", "6", "-z", "8"],
        true,
    ),
    ("many ranges", &["-R", "-a", "5", "-b", "500"], false),
];

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What this process holds in memory, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().split(' ').next().unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

/// Room for the tool's connections, and for the proxy's and the origin's ends of them. False if there is none.
fn has_descriptors() -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    maximum.is_none_or(|most| most >= 8 * CONNECTIONS) && setrlimit(Resource::Nofile, all).is_ok()
}

async fn settled(world: &World) {
    let over = async {
        loop {
            let counters = world.proxy.counters();
            if counters.open_connections == 0 && counters.open_requests == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    soon("the end of all connections", over).await;
}

/// The tool at work on `url` through `proxy`. None if there is no such tool.
fn tool(flags: &[&str], url: &str, proxy: SocketAddr) -> Option<Child> {
    Command::new("slowhttptest")
        .args(flags)
        .args(["-c", &CONNECTIONS.to_string(), "-r", "500", "-x", "8"])
        .args(["-l", &LENGTH.as_secs().to_string(), "-u", url])
        .args(["-d", &proxy.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()
}

/// What one mode came to.
#[derive(Debug, Default)]
struct Outcome {
    /// Connections at once, at most.
    most: u64,
    requests: u64,
    /// The longest that an ordinary client waited.
    slowest: Duration,
    /// MiB in memory, at most.
    peak: u64,
    /// After how long the proxy had ended all connections of the tool, whose time was not up.
    ended: Option<Duration>,
}

/// An ordinary client asks all the while.
async fn attacked(world: &World, authority: &str, tool: &mut Child) -> Outcome {
    let (began, before) = (Instant::now(), world.proxy.counters().requests);
    let mut outcome = Outcome::default();
    loop {
        let asked = Instant::now();
        assert_eq!(world.get(authority, "/").await.status, 200);
        outcome.slowest = outcome.slowest.max(asked.elapsed());
        outcome.peak = outcome.peak.max(resident());
        let counters = world.proxy.counters();
        outcome.most = outcome.most.max(counters.open_connections);
        outcome.requests = counters.requests - before;
        let patience = Duration::from_millis(100);
        let left = tokio::time::timeout(patience, tool.wait()).await.is_ok();
        // The last one may be the ordinary client's. Before its time is up, the tool leaves when it has none either.
        let none = left || counters.open_connections <= 1;
        if outcome.most >= ATTACK && none && began.elapsed() < LENGTH {
            outcome.ended = Some(began.elapsed());
        }
        if left || outcome.ended.is_some() {
            return outcome;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_clients_hold_nobody_up() {
    // Files, ports and memory of its own: nobody else's tests are held up, or counted.
    if !network::is_own("slow::a_thousand_slow_clients_hold_nobody_up") {
        return;
    }
    if !has_descriptors() {
        let most = 8 * CONNECTIONS;
        println!("left out: this process may not open {most} files");
        return;
    }
    // Less than the tool's pauses, and so much that nobody else comes near.
    let patience = Duration::from_secs(3);
    let limits = Limits {
        head: patience,
        body_idle: patience,
        idle: patience,
        ..Limits::default()
    };
    let page = "x".repeat(64 * 1024);
    let script = move |request: &str| match request.contains("/big") {
        true => ok(&page),
        false => ok("hello"),
    };
    let (world, _canary, authority) = World::around_with(limits, script).await;
    let url = format!("http://{authority}/big");
    assert_eq!(world.get(&authority, "/").await.status, 200);
    settled(&world).await;
    let (open, held) = (descriptors(), resident());
    for (what, flags, lasting) in MODES {
        let Some(mut tool) = tool(flags, &url, world.address) else {
            println!("left out: there is no `slowhttptest`: `make test-setup` installs it");
            return;
        };
        let outcome = attacked(&world, &authority, &mut tool).await;
        drop(tool);
        println!("{what}: {outcome:?}, {held} MiB before");
        assert!(outcome.slowest < BOUND, "{what}: {outcome:?}");
        assert!(outcome.peak <= held + MEMORY, "{what}: {outcome:?}");
        match lasting {
            true => assert!(outcome.ended.is_some(), "{what}: {outcome:?}"),
            false => assert!(outcome.requests >= ATTACK, "{what}: {outcome:?}"),
        }
        settled(&world).await;
    }
    let closed = async {
        while descriptors() > open + 8 {
            tokio::task::yield_now().await;
        }
    };
    soon("the descriptors", closed).await;
    assert_eq!(world.proxy.counters().panics, 0);
}
