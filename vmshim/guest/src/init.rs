//! What process 1 does after the boot: it keeps both ports answered.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use wire::mux::{self, Opener, Side};
use wire::{CONTROL_PORT, DATA_PORT};

use crate::boot::{Booted, uptime_ms};
use crate::console;
use crate::control::{self, Guest};
use crate::exec::Reaper;
use crate::port::Port;
use crate::relay::{self, PROXY_PORT};

/// Runs for the machine's life.
pub fn run(booted: Booted) -> io::Result<Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(booted))
}

async fn serve(booted: Booted) -> io::Result<Infallible> {
    let guest = Arc::new(Guest::new(booted, Reaper::of_everything()?));
    let (connected, channel) = watch::channel(None);
    // Any address: containers inside reach the relay on their bridge, and nothing outside can, since
    // the machine has no network interface.
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PROXY_PORT)).await?;
    tokio::spawn(async move {
        let error = relay::run(listener, channel).await;
        console::error("the relay to the proxy ended", &error);
    });
    tokio::spawn(async move {
        let Err(error) = keep_data(&connected).await;
        console::error("the channel to the proxy ended", &error);
    });
    keep_control(&guest).await
}

/// Answers one host process after the other.
async fn keep_control(guest: &Arc<Guest>) -> io::Result<Infallible> {
    let port = Port::open(CONTROL_PORT).await?;
    loop {
        let Some(conversation) = again(port.converse().await)? else {
            continue;
        };
        guest.host_heard(uptime_ms());
        let (_, mut acceptor, driver) = mux::new(conversation, Side::Guest);
        let driver = tokio::spawn(driver.run());
        while let Ok(stream) = acceptor.accept().await {
            tokio::spawn(control::answer(stream, Arc::clone(guest)));
        }
        report(driver.await);
    }
}

/// Gives the relay one proxy process after the other.
async fn keep_data(connected: &watch::Sender<Option<Opener>>) -> io::Result<Infallible> {
    let port = Port::open(DATA_PORT).await?;
    loop {
        let Some(conversation) = again(port.converse().await)? else {
            continue;
        };
        let (opener, _, driver) = mux::new(conversation, Side::Guest);
        connected.send_replace(Some(opener));
        report(Ok(driver.run().await));
        connected.send_replace(None);
    }
}

/// A host that leaves during the handshake is followed by another; anything else is our own fault.
fn again<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn report(end: Result<Result<(), mux::MuxError>, tokio::task::JoinError>) {
    match end {
        Ok(Ok(())) => {}
        Ok(Err(error)) => console::error("a channel was cut", &error),
        Err(error) => console::error("a channel's task failed", &error),
    }
}
