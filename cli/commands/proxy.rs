//! `sandbox proxy`: the appliance alone.

use std::net::SocketAddr;

use proxy::credentials::{Handed, SERVICES};
use proxy::parent::{self, Parents};
use proxy::{Options, Proxy};
use tokio::net::TcpListener;

use crate::args::ProxyArgs;
use crate::report::{self, Failure, Outcome};

pub(super) fn run(args: ProxyArgs) -> Outcome {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::doing("cannot start the proxy", &error))?;
    runtime.block_on(serve(args))
}

async fn serve(args: ProxyArgs) -> Outcome {
    let listeners = listeners(args.listen).await?;
    let parents = Parents::handed(&Handed::from_env(parent::VARIABLES));
    let variables = SERVICES.iter().flat_map(|service| service.variables);
    let options = Options {
        dns: args.dns,
        log: args.log,
        metrics: args.metrics,
        parents: parents.map_err(|error| Failure::of(&error))?,
        handed: match args.credentials {
            true => Handed::from_env(variables),
            false => Handed::default(),
        },
        ..Options::new("proxy", args.config, args.ca_dir)
    };
    let proxy = Proxy::start(options).await.map_err(|error| {
        let help = error.help();
        Failure::of(&error).maybe_help(help)
    })?;
    for listener in &listeners {
        let address = listener.local_addr();
        let address =
            address.map_err(|error| Failure::doing("cannot tell the listening address", &error))?;
        report::print(format_args!("listening on {address}"))?;
    }
    super::internal::until_told_to_stop(proxy, listeners).await
}

/// The sockets that were passed (sd_listen_fds(3)), or one of our own.
async fn listeners(address: SocketAddr) -> Result<Vec<TcpListener>, Failure> {
    let bad =
        |error: std::io::Error| Failure::doing("cannot serve a socket that was passed", &error);
    let mut passed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        if let Some(listener) = passed.take_tcp_listener(index).map_err(bad)? {
            listener.set_nonblocking(true).map_err(bad)?;
            listeners.push(TcpListener::from_std(listener).map_err(bad)?);
        }
    }
    if listeners.is_empty() {
        let bound = TcpListener::bind(address).await;
        listeners.push(bound.map_err(|error| {
            Failure::doing(format!("cannot listen on `{address}`"), &error)
                .help("choose another address with --listen")
        })?);
    }
    Ok(listeners)
}
