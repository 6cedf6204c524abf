//! A guest that asks without end for what it may not have does not push its history out of the log.

use std::time::Instant;

use proxy::audit::Action;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::client;
use crate::support::origin::ok;
use crate::support::{World, soon};

/// Connections, and refused requests on each.
const CLIENTS: usize = 4;
const REQUESTS: usize = 1500;

/// What may have lines of their own: the burst, and the rate after it.
const BURST: usize = 1000;
const RATE: usize = 10;

/// Sends refused requests as fast as they are taken, and reads all answers.
async fn flood(world: &World) {
    let request = "GET http://a/ HTTP/1.1\r\nHost:a\r\n\r\n";
    let (mut read, mut write) = client::connect(world.address).await.into_split();
    let sending = async move {
        write
            .write_all(request.repeat(REQUESTS).as_bytes())
            .await
            .unwrap();
        write.shutdown().await.unwrap();
    };
    let mut answers = Vec::new();
    let reading = soon("the answers", read.read_to_end(&mut answers));
    let ((), read) = tokio::join!(sending, reading);
    assert!(read.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_without_end_share_lines() {
    let (world, _canary, authority) = World::around(|_| ok("hello")).await;
    let start = Instant::now();
    tokio::join!(flood(&world), flood(&world), flood(&world), flood(&world));
    for _ in 0..3 {
        assert_eq!(world.get(&authority, "/x").await.status, 200);
    }
    let refused = u64::try_from(CLIENTS * REQUESTS).unwrap();
    let count = |action| -> u64 {
        let events = world
            .events()
            .into_iter()
            .filter(|event| event.action == action);
        events.map(|event| u64::from(event.count)).sum()
    };
    soon("all to be told", async {
        while count(Action::Denied) < refused {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let counters = world.proxy.counters();
    assert_eq!(
        (count(Action::Denied), counters.denied),
        (refused, refused),
        "counters add up"
    );
    let (shared, own): (Vec<_>, Vec<_>) = world
        .events()
        .into_iter()
        .partition(|event| event.count > 1);
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
    let lines = own
        .iter()
        .filter(|event| event.action == Action::Denied)
        .count();
    // Of those that share a line there may be one only.
    let most = BURST + (RATE + 1) * seconds;
    assert!(
        (BURST..=most).contains(&lines),
        "{lines} lines of their own"
    );
    assert!(
        (1..=seconds).contains(&shared.len()),
        "{} shared lines",
        shared.len()
    );
    let allowed = own.iter().filter(|event| event.action == Action::Allowed);
    assert_eq!(allowed.count(), 3, "what was let through has its lines");
    for event in shared {
        assert_eq!(
            (event.reason.as_deref(), event.target.as_deref()),
            (Some("default"), Some("a:80"))
        );
        assert!(event.to_string().ends_with(&format!(
            "request GET http://a/ denied ({} times)",
            event.count
        )));
    }
}
