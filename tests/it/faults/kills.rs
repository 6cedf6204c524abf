//! F13: the real proxy, killed at any moment under load, with a test in the guest's and the supervisor's place.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use wire::mux::{self, Opener, Side};

use crate::appliance::origin;
use crate::support::{self, Home};

/// How often the proxy is killed, unless told otherwise.
const KILLS: usize = 25;

/// Clients at once.
const CLIENTS: usize = 4;

/// What the guest's programs have seen.
#[derive(Default)]
struct Seen {
    next: AtomicU64,
    answers: AtomicU64,
    /// The requests that were answered whole, with the status.
    whole: Mutex<BTreeMap<u64, u16>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_killed_at_any_moment_loses_nothing() {
    let home = Home::new();
    let dir = home.project();
    let origin = origin();
    let policy = format!(r#"{{"policy":"deny","network":{{"allowedDomains":["{origin}"]}}}}"#);
    fs::write(dir.join("proxy-config.json"), policy).unwrap();
    let authority = proxy::ca::ensure(&dir.join("ca")).unwrap().pem().to_owned();
    let seen = Arc::<Seen>::default();
    let (opener, channel) = watch::channel(None);
    let guest = tokio::spawn(guest(dir.join("dat"), opener));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(client(channel.clone(), origin, Arc::clone(&seen))))
        .collect();

    let kills = support::kills(KILLS);
    let mut longest = Duration::ZERO;
    for _ in 0..kills {
        let started = Instant::now();
        let mut proxy = start(&home, &dir);
        // In the middle of the others' requests, at a moment that nobody chose.
        let wanted = seen.answers.load(Ordering::Relaxed) + fastrand::u64(1..30);
        answered(&seen, wanted).await;
        longest = longest.max(started.elapsed());
        proxy.kill().await.unwrap();
        assert_eq!(proxy::ca::load(&dir.join("ca")).unwrap().pem(), authority);
    }
    println!("{kills} kills; the longest life until its last answer: {longest:?}");

    // The last one ends in good order: what it was asked is answered and written.
    let mut last = start(&home, &dir);
    answered(&seen, seen.answers.load(Ordering::Relaxed) + 10).await;
    for client in clients {
        client.abort();
    }
    let pid = Pid::from_raw(last.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(last.wait().await.unwrap().success());
    guest.abort();

    let log = fs::read(dir.join("network.jsonl")).unwrap();
    proxy::audit::Verifier::default()
        .read(&*log)
        .unwrap()
        .expect("the chain holds over every kill");
    let mut written = BTreeMap::<String, Vec<Option<u16>>>::new();
    for event in proxy::audit::read(&*log).map(Result::unwrap) {
        written.entry(event.url).or_default().push(event.status);
    }
    for (number, status) in &*seen.whole.lock().await {
        let url = url(*number, origin);
        assert_eq!(written.get(&url), Some(&vec![Some(*status)]), "{url}");
    }
}

/// F14, F11: the proxy shows each second that it lives, not while it is stopped, and a reader that is gone does not end it.
#[tokio::test]
async fn the_proxy_shows_that_it_lives() {
    let home = Home::new();
    let dir = home.project();
    fs::write(dir.join("proxy-config.json"), r#"{"policy":"deny"}"#).unwrap();
    proxy::ca::ensure(&dir.join("ca")).unwrap();
    let mut proxy = start(&home, &dir);
    let pid = Pid::from_raw(proxy.id().unwrap().cast_signed()).unwrap();
    let mut beats = proxy.stdout.take().unwrap();
    let patience = Duration::from_secs(60);
    for _ in 0..2 {
        timeout(patience, beats.read_u8()).await.unwrap().unwrap();
    }
    kill_process(pid, Signal::STOP).unwrap();
    // One may have been on its way. After it there is none.
    let silence = async {
        while timeout(Duration::from_secs(3), beats.read_u8())
            .await
            .is_ok()
        {}
    };
    timeout(patience, silence).await.unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    timeout(patience, beats.read_u8()).await.unwrap().unwrap();
    drop(beats);
    kill_process(pid, Signal::PIPE).unwrap();
    let admin = dir.join("adm");
    let generation = |()| proxy::admin::status(&admin).unwrap().generation;
    assert_eq!(generation(()), 1);
    // It writes into the broken pipe meanwhile.
    assert!(
        timeout(Duration::from_secs(3), proxy.wait()).await.is_err(),
        "it lives"
    );
    assert_eq!(generation(()), 1);
    proxy.kill().await.unwrap();
}

fn start(home: &Home, dir: &Path) -> Child {
    let mut command = Command::from(home.command(&["internal", "proxy", "--name", "s"]));
    for (flag, file) in [
        ("--config", "proxy-config.json"),
        ("--ca-dir", "ca"),
        ("--log", "network.jsonl"),
        ("--admin", "adm"),
        ("--channel", "dat"),
    ] {
        command.arg(flag).arg(dir.join(file));
    }
    command
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The guest's end of the data port: takes one proxy after the other.
async fn guest(path: PathBuf, opener: watch::Sender<Option<Opener>>) {
    let listener = UnixListener::bind(path).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut port = BufStream::new(stream);
        if wire::resync::io::guest(&mut port).await.is_err() {
            continue;
        }
        let (open, _streams, driver) = mux::new(port, Side::Guest);
        opener.send_replace(Some(open));
        let _ = driver.run().await;
        opener.send_replace(None);
    }
}

/// Asks again and again: four requests that are allowed and one that is not.
async fn client(mut channel: watch::Receiver<Option<Opener>>, origin: SocketAddr, seen: Arc<Seen>) {
    loop {
        let opener = channel
            .wait_for(Option::is_some)
            .await
            .unwrap()
            .clone()
            .unwrap();
        let number = seen.next.fetch_add(1, Ordering::Relaxed);
        let Ok(answer) = ask(&opener, number, origin).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let Some(status) = status(&answer) else {
            continue;
        };
        let expected = if is_denied(number) { 403 } else { 200 };
        assert_eq!(status, expected, "request {number}");
        seen.whole.lock().await.insert(number, status);
        seen.answers.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_denied(number: u64) -> bool {
    number.is_multiple_of(5)
}

fn url(number: u64, origin: SocketAddr) -> String {
    match is_denied(number) {
        true => format!("http://denied.test/{number}"),
        false => format!("http://{origin}/{number}"),
    }
}

async fn ask(opener: &Opener, number: u64, origin: SocketAddr) -> std::io::Result<Vec<u8>> {
    let url = url(number, origin);
    let host = url.split('/').nth(2).unwrap();
    let mut stream = opener.open().await?;
    let request = format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The status of an answer that is whole.
fn status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse::<usize>()
            .ok()
    })?;
    (body.len() == length).then(|| head.split(' ').nth(1)?.parse().ok())?
}

async fn answered(seen: &Seen, wanted: u64) {
    let all = async {
        while seen.answers.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(120), all)
        .await
        .expect("requests are answered");
}
