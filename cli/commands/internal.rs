//! The processes of a running sandbox. They are this program, started by its supervisor.

use std::sync::Arc;
use std::time::Duration;

use proxy::credentials::Handover;
use proxy::parent::Parents;
use proxy::{Options, Proxy};
use tokio::io::AsyncWriteExt;
use tokio::time::interval;

use super::running::{self, Running};
use crate::args::{InternalCommand, InternalProxyArgs};
use crate::channel::Channel;
use crate::report::{Failure, Outcome};

/// How often the proxy shows that it lives.
const BEAT: Duration = Duration::from_secs(1);

pub(super) fn run(command: InternalCommand) -> Outcome {
    match command {
        InternalCommand::Supervise => crate::lifecycle::supervise(),
        InternalCommand::Helper(args) => crate::lifecycle::helper(&args.role),
        InternalCommand::Proxy(args) => proxy(args),
    }
}

fn proxy(args: InternalProxyArgs) -> Outcome {
    running::keep_memory_private()?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::doing("cannot start the proxy", &error))?;
    let handover = inherited()?;
    // The guest trusts the authority that was made with the sandbox, and no other.
    proxy::ca::load(&args.ca_dir).map_err(|error| Failure::of(&error).help(error.help()))?;
    runtime.block_on(async {
        let options = Options {
            parents: parents(&handover)?,
            dns: args.dns,
            lists: args.lists,
            log: Some(args.log),
            admin: Some(args.admin),
            handover: Some(handover),
            login_store: Some(args.ca_dir.clone()),
            advice: Some(format!("sandbox network proxy {}", args.name)),
            ..Options::new(args.name, args.config, args.ca_dir)
        };
        let proxy = Proxy::start(options)
            .await
            .map_err(|error| Failure::of(&error).maybe_help(error.help()))?;
        tokio::spawn(beat());
        let channel = Channel::new(args.channel);
        tokio::spawn(proxy.clone().serve(channel));
        Running::One(proxy).until_told_to_stop().await
    })
}

/// Says a byte on standard output each second, as long as this process can: the supervisor listens.
async fn beat() {
    let mut beats = interval(BEAT);
    let mut supervisor = tokio::io::stdout();
    loop {
        beats.tick().await;
        // It is gone when this fails, and this process goes with it.
        let _ = supervisor.write_all(b".").await;
        let _ = supervisor.flush().await;
    }
}

/// The credentials that came as standard input, which nothing else must find open.
fn inherited() -> Result<Arc<Handover>, Failure> {
    let input = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)
        .map_err(|errno| Failure::doing("cannot take over credentials", &errno))?;
    Ok(Arc::new(Handover::inherited(input.into())))
}

/// The proxies between this machine and the network, which the caller's environment names.
fn parents(handover: &Handover) -> Result<Parents, Failure> {
    let handed = handover.read();
    let handed = handed.map_err(|error| Failure::doing("cannot take over credentials", &error))?;
    Parents::handed(&handed).map_err(|error| Failure::of(&error))
}
