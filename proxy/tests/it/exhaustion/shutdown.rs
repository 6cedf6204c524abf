//! The end of the proxy: nobody holds it up, and nobody who was let in goes without an answer.

use std::time::{Duration, Instant};

use proxy::Limits;

use crate::support::origin::ok;
use crate::support::soon;
use crate::threats::{Adapter, Rig};

/// A tunnel in which nobody speaks does not hold up the end of the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_does_not_hold_up_a_shutdown() {
    let limits = Limits {
        drain: Duration::from_millis(200),
        ..Limits::default()
    };
    let rig = Rig::with(limits, |_| ok("hello")).await;
    let _silent = rig.open_tunnel().await;
    let _unread = rig
        .world
        .connect(&rig.authority(Adapter::Http1))
        .await
        .unwrap();
    let began = Instant::now();
    soon("the shutdown", rig.world.proxy.shutdown()).await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

/// Who was let in just before the end, and has not asked yet, is answered: plain, in a tunnel, and behind interception.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_hears_out_who_was_let_in() {
    for adapter in [Adapter::Absolute, Adapter::Tunnel, Adapter::Http1] {
        let rig = Rig::with(Limits::default(), |_| ok("hello")).await;
        let mut wires = Vec::new();
        for _ in 0..4 {
            wires.push(rig.wire(adapter).await);
        }
        let authority = rig.authority(adapter);
        let path = match adapter {
            Adapter::Absolute => format!("http://{authority}/"),
            _ => "/".to_owned(),
        };
        let asking = async {
            for wire in &mut wires {
                let answer = wire.get(&authority, &path).await;
                assert_eq!(answer.map(|answer| answer.status), Some(200), "{adapter:?}");
            }
            drop(wires);
        };
        let shutdown = rig.world.proxy.shutdown();
        soon("the end", async { tokio::join!(shutdown, asking) }).await;
    }
}
