//! F10: the proxy on a disk that is full for a while.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use proxy::Limits;
use proxy::audit::{self, Kind};

use crate::support::{World, origin::ok, soon};

/// Mounts the disk that tests are to fill, and runs them there.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=1m none "$TMPDIR" && exec "$0" "$@""#;

#[test]
fn a_full_disk_closes_the_proxy_and_it_recovers_by_itself() {
    const CHILD: &str = "PROXY_TEST_ON_A_SMALL_DISK";
    if std::env::var_os(CHILD).is_none() {
        let disk = tempfile::tempdir().unwrap();
        let status = Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                ON_A_SMALL_DISK,
            ])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "disk::a_full_disk_closes_the_proxy_and_it_recovers_by_itself",
            ])
            .env(CHILD, "1")
            .env("TMPDIR", disk.path())
            .status();
        assert!(status.unwrap().success());
        return;
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(full_for_a_while());
}

async fn full_for_a_while() {
    let limits = Limits {
        log_backlog: 3,
        ..Limits::default()
    };
    let (world, canary, authority) = World::around_with(limits, |_| ok("hello")).await;
    assert_eq!(world.get(&authority, "/before").await.status, 200);
    let status = || proxy::admin::status(&world.admin()).unwrap();
    assert_eq!(status().log, None);

    let filler = world.dir.path().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    // The log's last block has room for some lines yet.
    let mut refused = 0;
    soon("a refusal", async {
        while world.get(&authority, "/during").await.status == 200 {}
        for _ in 0..5 {
            refused += usize::from(world.get(&authority, "/refused").await.status == 503);
        }
    })
    .await;
    assert_eq!(refused, 5);
    let trouble = status().log.unwrap();
    assert_eq!(trouble.waiting, 3);
    assert!(trouble.lost >= 6, "{trouble:?}");
    // An authority cannot be made either, and what is half-made is no authority.
    let ca = world.dir.path().join("other");
    proxy::ca::ensure(&ca).unwrap_err();
    assert!(proxy::ca::load(&ca).is_err());

    drop(file);
    fs::remove_file(&filler).unwrap();
    assert_eq!(world.get(&authority, "/after").await.status, 200);
    assert_eq!(status().log, None);
    assert_eq!(status().counters.log_lines_lost, trouble.lost);
    proxy::ca::ensure(&ca).unwrap();

    let log = fs::read(world.dir.path().join("network.jsonl")).unwrap();
    assert!(
        audit::Verifier::default().read(&*log).unwrap().is_ok(),
        "the chain holds"
    );
    let events: Vec<_> = audit::read(&*log).map(Result::unwrap).collect();
    let answered = events
        .iter()
        .filter(|event| event.status == Some(200))
        .count();
    assert_eq!(
        answered,
        canary.requests().len(),
        "all that was let through is on record"
    );
    let gap = events
        .iter()
        .find(|event| event.reason.as_deref() == Some("log-gap"))
        .unwrap();
    let message = format!(
        "{} lines were lost while this log could not be written",
        trouble.lost
    );
    assert_eq!(
        (gap.kind, gap.message.as_deref()),
        (Kind::Config, Some(&*message))
    );
}
