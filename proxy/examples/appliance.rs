//! The proxy alone, in a few lines: `cargo run -p proxy --example appliance -- 127.0.0.1:3128 proxy-config.json ca-dir`.
//!
//! The benchmarks run it; `sandbox proxy` is the same with arguments, signals and words around it.

use std::error::Error;

use proxy::{Options, Proxy};
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    let [listen, config, ca_dir] =
        <[String; 3]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
            .map_err(|_| "usage: appliance LISTEN CONFIG CA-DIR")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(number("WORKERS").unwrap_or(2))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut options = Options::new("appliance", config, ca_dir);
        options.log = std::env::var_os("LOG").map(Into::into);
        options.trust = std::env::var_os("TRUST").map(Into::into);
        if let Some(connections) = number("CONNECTIONS") {
            options.limits.connections = connections;
        }
        let proxy = Proxy::start(options).await?;
        // In a task of its own: on the thread of `block_on`, every connection would wake a worker.
        let listener = TcpListener::bind(listen).await?;
        Ok(tokio::spawn(proxy.serve(listener)).await??)
    })
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}
