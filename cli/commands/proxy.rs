//! `sandbox proxy`: the appliance alone.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use proxy::appliance::{self, Appliance, Door, Plan};
use proxy::credentials::{Handed, SERVICES};
use proxy::parent::{self, Parents};
use proxy::{Options, Proxy, StartError};
use tokio::net::TcpListener;

use super::running::{self, Running};
use crate::args::{AddClientArgs, Listen, ProxyArgs, ProxyCommand};
use crate::report::{self, Failure, Outcome};
use crate::state::Paths;

pub(super) fn run(args: ProxyArgs) -> Outcome {
    if let Some(ProxyCommand::AddClient(args)) = &args.command {
        return add_client(args);
    }
    running::keep_memory_private()?;
    running::raise_open_files();
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::doing("cannot start the proxy", &error))?;
    runtime.block_on(serve(args))
}

fn add_client(args: &AddClientArgs) -> Outcome {
    let added = appliance::add(&args.clients, &args.name, args.policy.as_ref());
    let password = added.map_err(|error| Failure::of(&error).maybe_help(error.help()))?;
    report::print(format_args!("{password}"))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: ProxyArgs) -> Outcome {
    let listeners = listeners(&args.listen).await?;
    let running = match (&args.config, &args.config_dir) {
        (_, Some(directory)) => many(&args, directory.clone(), listeners).await?,
        (Some(config), None) => one(&args, config.clone(), listeners).await?,
        // clap asks for one of them.
        (None, None) => return Err(Failure::new("there is no policy")),
    };
    running.until_told_to_stop().await
}

fn options(args: &ProxyArgs, config: PathBuf) -> Result<Options, Failure> {
    let parents = Parents::handed(&Handed::from_env(parent::VARIABLES));
    let variables = SERVICES.iter().flat_map(|service| service.variables);
    Ok(Options {
        lists: Paths::from_env().ok().map(|paths| paths.lists()),
        dns: args.dns,
        log: args.log.clone(),
        metrics: args.metrics,
        parents: parents.map_err(|error| Failure::of(&error))?,
        handed: match args.credentials {
            true => Handed::from_env(variables),
            false => Handed::default(),
        },
        ..Options::new("proxy", config, args.ca_dir.clone())
    })
}

/// One policy for all listeners.
async fn one(
    args: &ProxyArgs,
    config: PathBuf,
    listeners: Vec<Listening>,
) -> Result<Running, Failure> {
    let proxy = Proxy::start(options(args, config)?).await.map_err(failed)?;
    for listening in listeners {
        if let Some(policy) = &listening.policy {
            return Err(Failure::new(format!(
                "a listener is for the policy `{policy}`, and --config names the only one"
            ))
            .help("name the directory of policies with --config-dir"));
        }
        announce(&listening, "")?;
        tokio::spawn(proxy.clone().serve(listening.listener));
    }
    Ok(Running::One(proxy))
}

/// A policy for each listener or client.
async fn many(
    args: &ProxyArgs,
    directory: PathBuf,
    listeners: Vec<Listening>,
) -> Result<Running, Failure> {
    let doors: Vec<_> = listeners.iter().map(Listening::door).collect();
    if doors.contains(&Door::Clients) && args.clients.is_none() {
        return Err(
            Failure::new("a listener has no policy, and no clients are known").help(
                "name its policy (--listen IP:PORT=POLICY), or a file of clients (--clients)",
            ),
        );
    }
    let plan = Plan {
        directory: directory.clone(),
        clients: args.clients.clone(),
        doors,
    };
    let appliance = Appliance::start(options(args, directory)?, plan);
    let appliance = appliance.await.map_err(failed)?;
    for listening in listeners {
        let door = listening.door();
        let whose = match &door {
            Door::Policy(policy) => format!(" for policy {policy}"),
            Door::Clients => " for clients".to_owned(),
        };
        announce(&listening, &whose)?;
        tokio::spawn(appliance.clone().serve(listening.listener, door));
    }
    Ok(Running::Many(appliance))
}

fn failed(error: StartError) -> Failure {
    let help = error.help();
    Failure::of(&error).maybe_help(help)
}

fn announce(listening: &Listening, whose: &str) -> Result<(), Failure> {
    let address = listening.listener.local_addr();
    let address =
        address.map_err(|error| Failure::doing("cannot tell the listening address", &error))?;
    report::print(format_args!("listening on {address}{whose}"))
}

/// A socket, and the policy of whoever connects to it.
struct Listening {
    listener: TcpListener,
    policy: Option<appliance::Name>,
}

impl Listening {
    fn door(&self) -> Door {
        match &self.policy {
            Some(policy) => Door::Policy(policy.clone()),
            None => Door::Clients,
        }
    }
}

/// The sockets that were passed (sd_listen_fds(3)), or our own.
async fn listeners(own: &[Listen]) -> Result<Vec<Listening>, Failure> {
    let bad = |error: io::Error| Failure::doing("cannot serve a socket that was passed", &error);
    let mut passed = listenfd::ListenFd::from_env();
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        let policy = named(names.next().unwrap_or_default());
        if let Some(listener) = passed.take_tcp_listener(index).map_err(bad)? {
            listener.set_nonblocking(true).map_err(bad)?;
            let listener = TcpListener::from_std(listener).map_err(bad)?;
            listeners.push(Listening { listener, policy });
        }
    }
    if listeners.is_empty() {
        for Listen { address, policy } in own {
            listeners.push(Listening {
                listener: bound(*address).await?,
                policy: policy.clone(),
            });
        }
    }
    Ok(listeners)
}

/// The policy that a passed socket is named after. One without a name has that of its unit, or `unknown`
/// (systemd.socket(5), sd_listen_fds(3)).
fn named(name: &str) -> Option<appliance::Name> {
    let given = !name.ends_with(".socket") && !matches!(name, "" | "unknown" | "stored");
    given.then(|| name.parse().ok()).flatten()
}

async fn bound(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| {
        Failure::doing(format!("cannot listen on `{address}`"), &error)
            .help("choose another address with --listen")
    })
}
