//! The sandbox's own Docker daemon, where the template has one.
//!
//! Nobody configures it by hand: it gets the proxy and the certificates from the sandbox's variables, keeps its
//! images on the data disk, and what it runs trusts the sandbox's certificates (see [`runtime`]). It starts when
//! the first client comes, because most sandboxes never need it; one that has containers starts it at once, since
//! some of those may be meant to run always.
//!
//! ```text
//! docker ──► /var/run/docker.sock (this program listens) ──► dockerd -H fd://, started with the socket
//!                                                              └─► containerd ─► runc = [`runtime`] ─► runc
//! ```
//!
//! Its containers reach the outside without any setting: their default route ends in this machine, whose resolver
//! and relay answer there as for every other program that knows of no proxy.

pub mod runtime;
mod settings;

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use wire::exec::Exit;

use crate::boot::Modules;
use crate::console;
use crate::exec::{Context, PATH, find_program};

/// Where Docker's clients look.
const SOCKET: &str = "/var/run/docker.sock";

/// What the daemon says.
const LOG: &str = "/var/log/dockerd.log";

/// The daemon's containers, one folder each.
const CONTAINERS: &str = "/var/lib/docker/containers";

/// The folder with [`runtime`] under the name that containerd looks for.
const RUNTIME_DIR: &str = "/run/sandbox/docker";

/// A daemon that can't start is not tried more often than this.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands the socket to the daemon as systemd would (sd_listen_fds(3)): as descriptor 3, with its own process number in
/// a variable.
const START: &str = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" -H fd://"#;

/// A daemon that is installed and waits to be needed.
#[derive(Debug)]
pub struct Docker {
    program: PathBuf,
    socket: UnixListener,
    modules: Option<Modules>,
    context: Context,
}

impl Docker {
    /// Prepares the daemon of this machine, if it has one, for the user with this group.
    pub fn find(
        context: &Context,
        modules: Option<Modules>,
        group: u32,
    ) -> io::Result<Option<Self>> {
        let Ok(program) = find_program("dockerd", PATH, Path::new("/")) else {
            return modules.map_or(Ok(()), Modules::free).map(|()| None);
        };
        settings::complete(Path::new("/"))?;
        fs::create_dir_all(RUNTIME_DIR)?;
        // This very program, which no path of the new root leads to.
        symlink("/proc/1/exe", Path::new(RUNTIME_DIR).join(runtime::NAME))?;
        Ok(Some(Self {
            program,
            socket: listen(group)?,
            modules,
            context: context.clone(),
        }))
    }

    /// Starts it whenever it is needed and does not run.
    pub async fn keep(mut self) {
        let mut needed = has_containers();
        loop {
            let round = async {
                if !needed {
                    self.wait_for_client().await?;
                }
                self.run().await
            };
            match round.await {
                Ok(Exit::Code(0)) => {}
                Ok(exit) => console::line(&format!("the Docker daemon ended: {exit:?}, see {LOG}")),
                Err(error) => console::error("the Docker daemon does not start", &error),
            }
            needed = false;
            // Whoever waits for a daemon that has just failed is told so, and does not start it again.
            self.turn_away();
            sleep(PAUSE).await;
        }
    }

    async fn wait_for_client(&self) -> io::Result<()> {
        let socket = OwnedFd::from(self.socket.try_clone()?);
        // SAFETY: an `OwnedFd` names the same open file until it is dropped, which the `AsyncFd` does
        // after it has let go of it.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        socket.readable().await.map(|_| ())
    }

    fn turn_away(&self) {
        while self.socket.accept().is_ok() {}
    }

    async fn run(&mut self) -> io::Result<Exit> {
        if let Some(modules) = self.modules.take() {
            // Takes a while where the processor is emulated, and this thread answers everybody.
            let loaded = spawn_blocking(|| modules.load()).await?;
            if let Err(error) = loaded {
                console::error("networks of containers may fail", &error);
            }
        }
        let log = File::options().create(true).append(true).open(LOG)?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", START])
            .arg(&self.program)
            .env_clear()
            .envs(self.context.env.iter().map(|(key, value)| (key, value)))
            .env("PATH", format!("{RUNTIME_DIR}:{PATH}"))
            .env("HOME", "/root")
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(self.socket.try_clone()?)))
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        Ok(self.context.reaper.spawn(&mut command)?.wait().await)
    }
}

/// The socket, for root and the sandbox's user: that user may become root anyway.
fn listen(group: u32) -> io::Result<UnixListener> {
    if let Some(dir) = Path::new(SOCKET).parent() {
        fs::create_dir_all(dir)?;
    }
    // A template may have one of its own; nobody listens on it.
    let _ = fs::remove_file(SOCKET);
    let socket = UnixListener::bind(SOCKET)?;
    socket.set_nonblocking(true)?;
    chown(SOCKET, Some(0), Some(group))?;
    fs::set_permissions(SOCKET, Permissions::from_mode(0o660))?;
    Ok(socket)
}

fn has_containers() -> bool {
    fs::read_dir(CONTAINERS).is_ok_and(|mut entries| entries.next().is_some())
}
