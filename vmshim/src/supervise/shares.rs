//! The servers of shared folders.

use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::child::Helper;
use super::{Board, Error, watch};
use crate::guest::Session;
use crate::helper::{self, Role};
use crate::share::{Fence, ShareArgs};
use crate::spec::{Share, Socket, Spec};

/// One server for each shared folder, in the spec's order.
pub(super) struct Shares {
    servers: Vec<Helper>,
    spec: Spec,
}

impl Shares {
    /// Starts the servers and waits until each is fenced in.
    pub(super) async fn start(spec: &Spec, board: &Arc<Board>) -> Result<Self, Error> {
        let mut shares = Self::none(spec);
        for (n, share) in spec.shares.iter().enumerate() {
            check(share)?;
            shares
                .servers
                .push(start_fenced(spec, n, share, board).await?);
        }
        Ok(shares)
    }

    /// No folder needs a server.
    pub(super) fn none(spec: &Spec) -> Self {
        Self {
            servers: Vec::new(),
            spec: spec.clone(),
        }
    }

    /// Completes when a server ends, with the reason. Never completes when there is none.
    pub(super) async fn failed(&mut self) -> Error {
        let mut waits: Vec<_> = self
            .servers
            .iter_mut()
            .map(|server| Box::pin(server.wait()))
            .collect();
        let ended = std::future::poll_fn(|cx| {
            let done = waits
                .iter_mut()
                .position(|wait| wait.as_mut().poll(cx).is_ready());
            done.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await;
        drop(waits);
        let said = match self.servers.get_mut(ended) {
            Some(server) => server.last_words().await,
            None => String::new(),
        };
        let dir = self
            .spec
            .shares
            .get(ended)
            .map(|share| share.host.clone())
            .unwrap_or_default();
        Error::ShareEnded { dir, said }
    }

    /// Has the guest hear of what the host changes, until that is dropped. A folder that the guest may only read is left
    /// out: its kernel refuses what it would have to do to hear of it. So is a single file.
    pub(super) fn watch(&mut self, guest: &Session, board: &Arc<Board>) -> JoinSet<()> {
        let mut watches = JoinSet::new();
        for (server, share) in self.servers.iter_mut().zip(&self.spec.shares) {
            if !share.read_only && !share.file {
                let touched = server.process.stdout.take();
                let (guest, board) = (guest.clone(), Arc::clone(board));
                watches.spawn(watch::follow(share.clone(), touched, guest, board));
            }
        }
        watches
    }

    /// Ends all servers.
    pub(super) async fn kill(&mut self) {
        for server in &mut self.servers {
            server.kill().await;
        }
    }
}

/// What was there when the sandbox was made may be gone, or something else.
fn check(share: &Share) -> Result<(), Error> {
    let path = share.host.clone();
    match (share.file, path.is_dir(), path.is_file()) {
        (false, true, _) | (true, _, true) => Ok(()),
        (false, ..) => Err(Error::NoFolder { dir: path }),
        (true, ..) => Err(Error::NoFile { file: path }),
    }
}

/// Tries the stronger fence first. Containers and some distributions forbid it.
async fn start_fenced(
    spec: &Spec,
    n: usize,
    share: &Share,
    board: &Arc<Board>,
) -> Result<Helper, Error> {
    let mut said = String::new();
    for fence in [Fence::Namespace, Fence::Landlock] {
        let mut server = start(spec, n, share, fence, board)?;
        if is_ready(&mut server).await {
            return Ok(server);
        }
        said = server.last_words().await;
    }
    Err(Error::Share {
        dir: share.host.clone(),
        said,
    })
}

fn start(
    spec: &Spec,
    n: usize,
    share: &Share,
    fence: Fence,
    board: &Arc<Board>,
) -> Result<Helper, Error> {
    let role = Role::Share(ShareArgs {
        parent: super::own_pid(),
        dir: if share.file {
            spec.runtime_dir.clone() // any that exists: the server covers it
        } else {
            share.host.clone()
        },
        file: share.file.then(|| share.host.clone()),
        read_only: share.read_only,
        hide: share.hide.clone(),
        caller: spec.caller,
        fence,
    });
    let failed = || Error::doing("serve a shared folder");
    let path = spec.socket(Socket::Share(n));
    // Bound here, so that the VMM finds it whenever it comes; a first attempt may have left its own.
    let _ = std::fs::remove_file(&path);
    let socket = UnixListener::bind(&path).map_err(failed())?;
    let mut command = helper::command(&spec.helper_command, &role).map_err(failed())?;
    command
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(socket)))
        .stdout(Stdio::piped());
    Helper::start(command, board)
}

/// Whether the server said that its fences stand; otherwise it has ended.
async fn is_ready(server: &mut Helper) -> bool {
    let Some(stdout) = &mut server.process.stdout else {
        return false;
    };
    matches!(stdout.read(&mut [0; 16]).await, Ok(1..))
}
