//! How long a head may be, and how long it may take.

use std::time::{Duration, Instant};

use proxy::Limits;
use tokio::io::AsyncWriteExt as _;

use super::consent;
use crate::support::World;
use crate::support::origin::ok;
use crate::threats::{Adapter, Rig};

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
        let _ = client.io.write_all(&rig.text(adapter, &head)).await;
        let answer = client.answer().await.map(|answer| answer.status);
        let (wanted, arrives) = match status {
            200 => (consent(adapter), 1),
            refused => (*refused, 0),
        };
        let what = format!("{adapter:?} {} bytes", fields.len());
        assert_eq!(answer, Some(wanted), "{what}");
        let arrived = rig.origin(adapter).requests().len() - before;
        assert_eq!(arrived, arrives, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_runs_out_of_time() {
    let limits = Limits {
        head: Duration::from_millis(200),
        ..Limits::default()
    };
    let (world, _canary, _) = World::around_with(limits, |_| ok("hello")).await;
    let mut client = world.dial().await;
    client.send(b"GET http://").await;
    let began = Instant::now();
    client.rest().await;
    assert!(began.elapsed().as_secs() < 5);
}
