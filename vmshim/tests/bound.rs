//! A workspace with more files than its server may hold open. A process of its own, because it lowers its own limit.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's leave for tests does not reach their helpers"
)]

mod support;

use rustix::process::{Resource, Rlimit, setrlimit};
use support::{Sandbox, sh};

#[tokio::test]
async fn a_workspace_with_too_many_files_is_told_of() {
    let few = Rlimit {
        current: Some(512),
        maximum: Some(512),
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let mut sandbox = Sandbox::prepare();
    let folder = sandbox.workspace.clone();
    for n in 0..600 {
        std::fs::write(folder.join(n.to_string()), "").unwrap();
    }
    let (client, before) = sandbox.start().await;
    let sentence = format!(
        "programs inside cannot open more files of `{}`: its server may hold 448 at once",
        folder.display()
    );
    let told = |notes: &[String]| {
        notes
            .iter()
            .filter(|note| note.starts_with(&sentence))
            .count()
    };
    assert_eq!(told(&before.notes), 0);
    // Both open more than there may be.
    for _ in 0..2 {
        let (exit, said) = sh(
            &client,
            &format!("cd '{}' && seq 0 599 | xargs stat -c %n", folder.display()),
        )
        .await;
        assert_ne!(exit.shell_code(), 0);
        assert!(said.contains("Too many open files in system"), "{said}");
    }
    let began = std::time::Instant::now();
    // It comes by another way than the answer.
    loop {
        let notes = client.status().await.unwrap().notes;
        if told(&notes) == 1 {
            return;
        }
        assert!(began.elapsed() < support::PATIENCE, "{notes:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
