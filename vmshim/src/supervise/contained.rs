//! The container in the virtual machine's place.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::time::timeout;

use super::child::Helper;
use super::{Board, Error};
use crate::container::{self, Caps, Group, Ids, Mounting, Unserved};
use crate::spec::{Socket, Spec};

/// How long a container may take to vanish once its first process has ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runtimes put their own pipes in the place of the standard descriptors and pass on those behind them.
const PASS_SEAT: &str = r#"exec "$0" "$@" 3<&0 </dev/null"#;

/// A running container. Its first process ends when this value is dropped, and all others with it.
pub(super) struct Container {
    /// The other end is the guest's, which watches it.
    seat: Option<UnixStream>,
    /// Its caps, where it has some.
    _group: Option<Group>,
}

impl Container {
    /// Unpacks the template at the first start, and starts the container that `spec` asks for. Returns
    /// its runtime's process, too, whose output is the guest's console, and the folders for which it waits.
    pub(super) async fn start(
        spec: &Spec,
        board: &Arc<Board>,
    ) -> Result<(Helper, Self, Vec<Unserved>), Error> {
        let runtime = container::runtime()?;
        let ids = Ids::of(spec.caller)?;
        if !container::root_dir(&spec.state_dir).exists() {
            board.phase("unpacking the template");
        }
        unpack(spec, &ids).await?;
        board.phase("starting the container");
        let bundle = container::write_bundle(spec, &spec.runtime_dir.join("oci"))?;
        let (seat, guests_seat) = seat(spec).map_err(Error::doing("start the container"))?;
        let mut command = Command::new("sh");
        command.env_clear(); // it holds the caller's secrets
        command.env(
            "PATH",
            crate::tool::search_path(std::env::var_os("PATH").as_deref()),
        );
        command
            .args(["-c", PASS_SEAT, runtime.program()])
            .args(runtime.options)
            .args(["--root".as_ref(), state(spec).as_os_str()])
            .args(["run", "--preserve-fds=1", "--bundle"])
            .arg(bundle)
            .arg(name(spec))
            .stdin(Stdio::from(OwnedFd::from(guests_seat)))
            .stdout(Stdio::piped());
        let group = cap(spec, &mut command, board)?;
        let failed = || Error::doing("make the container's user namespace");
        let lent = ids.lend(&mut command).map_err(failed())?;
        let mounting = container::mount_in(&mut command, spec)?;
        let helper = Helper::start(command, board);
        if let Ok(Err(error)) = lent.join() {
            return Err(failed()(error));
        }
        let container = Self {
            seat: Some(seat),
            _group: group,
        };
        let unserved = mounting.map_or_else(|| Ok(Vec::new()), Mounting::take);
        Ok((helper?, container, unserved?))
    }

    /// Ends the container at once.
    pub(super) async fn kill(&mut self, runtime: &mut Helper) {
        drop(self.seat.take());
        if timeout(FAREWELL, runtime.wait()).await.is_ok() {
            return;
        }
        runtime.kill().await;
    }
}

/// Has the command begin in a group with the container's caps. Without one it is told why.
fn cap(spec: &Spec, command: &mut Command, board: &Board) -> Result<Option<Group>, Error> {
    let caps = Caps {
        memory_mib: spec.memory_mib,
        cpus: spec.cpus,
    };
    match Group::make(&name(spec), caps) {
        Ok(group) => {
            let entered = group.enter(command);
            entered.map_err(Error::doing("cap the container's memory"))?;
            Ok(Some(group))
        }
        Err(why) => {
            board.note(format!(
                "the container's memory and processors have no caps: {why}"
            ));
            Ok(None)
        }
    }
}

/// Where the runtime keeps what it knows. It acts as the container's root, so this is beside what belongs
/// to that, too.
fn state(spec: &Spec) -> std::path::PathBuf {
    container::root_dir(&spec.state_dir).join("runtime")
}

fn name(spec: &Spec) -> String {
    format!("sandbox-{}", spec.id)
}

async fn unpack(spec: &Spec, ids: &Ids) -> Result<(), Error> {
    let (root, template, ids) = (
        container::root_dir(&spec.state_dir),
        spec.template.clone(),
        ids.clone(),
    );
    let unpacked =
        tokio::task::spawn_blocking(move || container::ensure_root(&root, &template, &ids));
    let failed = |error| Error::doing("unpack the template")(std::io::Error::other(error));
    Ok(unpacked.await.map_err(failed)??)
}

/// The supervisor's end and the guest's, with the ports' listening sockets already on their way.
fn seat(spec: &Spec) -> std::io::Result<(UnixStream, UnixStream)> {
    let control = bind(&spec.socket(Socket::GuestControl))?;
    let data = bind(&spec.socket(Socket::GuestData))?;
    let (ours, guests) = UnixStream::pair()?;
    let fds = [control.as_fd(), data.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut messages = SendAncillaryBuffer::new(&mut space);
    messages.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        &ours,
        &[IoSlice::new(&[1])],
        &mut messages,
        SendFlags::empty(),
    )?;
    Ok((ours, guests))
}

fn bind(path: &Path) -> std::io::Result<UnixListener> {
    // A first attempt may have left its own.
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path)
}
