//! The proxy's side.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::{Request, Status};
use crate::context::Context;

/// Longest request line: a few secrets fit.
const MAX_REQUEST: u64 = 1024 * 1024;

/// Time for a whole conversation.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens on `path`, taking over a socket that a dead proxy left.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_dead(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn is_dead(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Answers until the proxy stops.
pub(crate) async fn serve(context: Arc<Context>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let context = context.clone();
                tokio::spawn(async move {
                    // A client that leaves early has nobody to tell.
                    let _ = timeout(PATIENCE, converse(&context, stream)).await;
                });
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn converse(context: &Arc<Context>, mut stream: UnixStream) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = Zeroizing::new(String::new());
    BufReader::new(reader.take(MAX_REQUEST))
        .read_line(&mut line)
        .await?;
    match serde_json::from_str::<Request>(&line)? {
        Request::Status => {}
        Request::Reload => {
            let live = context.live.clone();
            let look = tokio::task::spawn_blocking(move || live.look())
                .await
                .map_err(io::Error::other)?;
            crate::server::report(context, &look);
        }
        Request::Credentials { set } => context.credentials.replace(set.into_iter().collect())?,
    }
    let mut answer = serde_json::to_vec(&status(context))?;
    answer.push(b'\n');
    writer.write_all(&answer).await
}

fn status(context: &Context) -> Status {
    let snapshot = context.live.snapshot();
    Status {
        sandbox: context.recorder.sandbox().to_owned(),
        pid: std::process::id(),
        generation: snapshot.generation,
        digest: snapshot.policy.digest().to_string(),
        config: context.live.path().to_owned(),
        degraded: context.live.error().map(|error| error.to_string()),
        log: context.recorder.log().trouble(),
        credentials: context.credentials.active(&snapshot.policy),
        counters: context.recorder.counters(),
    }
}
