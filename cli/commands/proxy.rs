//! `sandbox proxy`: the appliance alone.

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
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::doing(format!("cannot listen on `{}`", args.listen), &error)
            .help("choose another address with --listen")
    })?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::doing("cannot tell the listening address", &error))?;
    let options = Options {
        dns: args.dns,
        log: args.log,
        ..Options::new("proxy", args.config, args.ca_dir)
    };
    let proxy = Proxy::start(options).await.map_err(|error| {
        let help = error.help();
        Failure::of(&error).maybe_help(help)
    })?;
    report::print(format_args!("listening on {address}"))?;
    super::internal::until_told_to_stop(proxy, listener).await
}
