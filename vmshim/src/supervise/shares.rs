//! The servers of shared folders.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::child::Helper;
use super::{Board, Error, watch};
use crate::container::Unserved;
use crate::guest::Session;
use crate::helper::{self, Role};
use crate::share::{Asker, Fence, ShareArgs};
use crate::spec::{Share, Socket, Spec};

/// The servers of shared folders.
#[derive(Default)]
pub(super) struct Shares {
    servers: Vec<Served>,
}

/// A folder and its server.
struct Served {
    share: Share,
    server: Helper,
}

impl Shares {
    /// Starts a server for each of the spec's folders and waits until each is fenced in.
    pub(super) async fn start(spec: &Spec, board: &Arc<Board>) -> Result<Self, Error> {
        let mut shares = Self::default();
        for (n, share) in spec.shares.iter().enumerate() {
            let socket = spec.socket(Socket::Share(n));
            let input = || {
                // Bound here, so that the VMM finds it whenever it comes; a first attempt may have left its own.
                let _ = std::fs::remove_file(&socket);
                Ok(OwnedFd::from(UnixListener::bind(&socket)?))
            };
            shares.add(spec, share, Asker::Vmm, input, board).await?;
        }
        Ok(shares)
    }

    /// The same for the folders that a container waits for.
    pub(super) async fn serve(
        spec: &Spec,
        unserved: Vec<Unserved>,
        board: &Arc<Board>,
    ) -> Result<Self, Error> {
        let mut shares = Self::default();
        for Unserved { share, device } in unserved {
            let input = || device.try_clone();
            shares
                .add(spec, &share, Asker::Kernel, input, board)
                .await?;
        }
        Ok(shares)
    }

    async fn add(
        &mut self,
        spec: &Spec,
        share: &Share,
        asker: Asker,
        input: impl Fn() -> io::Result<OwnedFd>,
        board: &Arc<Board>,
    ) -> Result<(), Error> {
        check(share)?;
        let server = start_fenced(spec, share, asker, input, board).await?;
        let share = share.clone();
        self.servers.push(Served { share, server });
        Ok(())
    }

    /// Completes when a server ends, with the reason. Never completes when there is none.
    pub(super) async fn failed(&mut self) -> Error {
        let mut waits: Vec<_> = self
            .servers
            .iter_mut()
            .map(|served| Box::pin(served.server.wait()))
            .collect();
        let ended = std::future::poll_fn(|cx| {
            let done = waits
                .iter_mut()
                .position(|wait| wait.as_mut().poll(cx).is_ready());
            done.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await;
        drop(waits);
        let (dir, said) = match self.servers.get_mut(ended) {
            Some(Served { share, server }) => (share.host.clone(), server.last_words().await),
            None => Default::default(),
        };
        Error::ShareEnded { dir, said }
    }

    /// Has the guest hear of what the host changes, until that is dropped. A folder that the guest may only read is left
    /// out: its kernel refuses what it would have to do to hear of it. So is a single file.
    pub(super) fn watch(&mut self, guest: &Session, board: &Arc<Board>) -> JoinSet<()> {
        let mut watches = JoinSet::new();
        for Served { share, server } in &mut self.servers {
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
        for served in &mut self.servers {
            served.server.kill().await;
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
    share: &Share,
    asker: Asker,
    input: impl Fn() -> io::Result<OwnedFd>,
    board: &Arc<Board>,
) -> Result<Helper, Error> {
    let mut said = String::new();
    for fence in [Fence::Namespace, Fence::Landlock] {
        let input = input().map_err(Error::doing("serve a shared folder"))?;
        let mut server = start(spec, share, (fence, asker), input, board)?;
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
    share: &Share,
    (fence, asker): (Fence, Asker),
    input: OwnedFd,
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
        asker,
    });
    let command = helper::command(&spec.helper_command, &role);
    let mut command = command.map_err(Error::doing("serve a shared folder"))?;
    command.stdin(input).stdout(Stdio::piped());
    Helper::start(command, board)
}

/// Whether the server said that its fences stand; otherwise it has ended.
async fn is_ready(server: &mut Helper) -> bool {
    let Some(stdout) = &mut server.process.stdout else {
        return false;
    };
    matches!(stdout.read(&mut [0; 16]).await, Ok(1..))
}
