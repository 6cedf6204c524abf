use std::path::Path;
use std::sync::Arc;

use rustix::process::test_kill_process;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::spec::tests::spec;

/// Far more than a shell needs for a turn of its loop on a busy machine.
const SHORT: Silence = Silence {
    start: Duration::from_secs(60),
    running: Duration::from_secs(2),
};

/// A supervisor's part with a shell script for a proxy, which adds a line with its process to `lives` at each start.
struct Kept {
    dir: tempfile::TempDir,
    board: Arc<Board>,
    keeping: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Kept {
    fn start(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lives = dir.path().join("lives");
        let script = format!("echo $$ >> {}; {script}", lives.display());
        let spec = Spec {
            state_dir: dir.path().into(),
            proxy_command: ["sh", "-c", &script].map(Into::into).to_vec(),
            ..spec()
        };
        let board = Arc::new(Board::new(std::time::Instant::now()));
        let (end, ended) = oneshot::channel::<()>();
        let keeping = tokio::spawn({
            let board = Arc::clone(&board);
            async move { keep(spec, SHORT, &board, async { drop(ended.await) }).await }
        });
        Self {
            dir,
            board,
            keeping,
            end,
        }
    }

    fn lives(&self) -> Vec<Pid> {
        lives(self.dir.path())
    }

    /// The process of the life with this number, once it has begun.
    async fn life(&self, number: usize) -> Pid {
        let begun = async {
            loop {
                if let Some(pid) = self.lives().get(number) {
                    return *pid;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(60), begun).await.unwrap()
    }

    async fn end(self) {
        let last = self.lives().last().copied();
        self.end.send(()).unwrap();
        self.keeping.await.unwrap();
        assert!(last.is_none_or(|pid| test_kill_process(pid).is_err()));
    }
}

fn lives(dir: &Path) -> Vec<Pid> {
    let text = std::fs::read_to_string(dir.join("lives")).unwrap_or_default();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| Pid::from_raw(line.trim().parse().unwrap()).unwrap())
        .collect()
}

const BEAT: &str = "while :; do printf .; sleep 0.05; done";

/// F13: a killed proxy is back within a second, however often.
#[tokio::test]
async fn a_killed_proxy_is_started_again() {
    let kept = Kept::start(BEAT);
    for number in 0..5 {
        kill_process(kept.life(number).await, Signal::KILL).unwrap();
        let killed = Instant::now();
        kept.life(number + 1).await;
        // The longest pause is a second; the rest is room for a busy machine.
        assert!(
            killed.elapsed() < Duration::from_secs(5),
            "{:?}",
            killed.elapsed()
        );
    }
    assert_eq!(kept.board.status().notes, [""; 0]);
    kept.end().await;
}

/// F14: so is one that hangs.
#[tokio::test]
async fn a_stuck_proxy_is_started_again() {
    let kept = Kept::start("printf .; kill -STOP $$");
    let first = kept.life(0).await;
    let second = kept.life(1).await;
    assert!(first != second && test_kill_process(first).is_err());
    assert_eq!(
        kept.board.status().notes,
        ["the proxy was stuck and has been started again"]
    );
    kept.end().await;
}

/// F21: a supervisor that got no processor for a while finds what the proxy said meanwhile, and lets it live.
#[tokio::test]
async fn a_busy_machine_is_no_hang() {
    let kept = Kept::start(BEAT);
    let first = kept.life(0).await;
    // The runtime has this one thread, so nothing of the supervisor runs.
    std::thread::sleep(2 * SHORT.running);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept.lives(), [first]);
    test_kill_process(first).unwrap();
    kept.end().await;
}
