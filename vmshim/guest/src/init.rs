//! What process 1 does after the boot: it keeps both ports answered.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use wire::mux::{self, Opener, Side};
use wire::{CONTROL_PORT, DATA_PORT};

use crate::boot::{Booted, Machine, uptime_ms};
use crate::console;
use crate::control::{self, Guest};
use crate::exec::Reaper;
use crate::names::OWN;
use crate::port::Port;
use crate::relay::{self, Channel, PROXY_PORT};
use crate::seat::Seat;
use crate::{reclaim, resolver, stop, transparent};

/// Runs for the machine's life.
pub fn run(booted: Booted, seat: Option<Seat>) -> io::Result<Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(booted, seat))
}

async fn serve(booted: Booted, seat: Option<Seat>) -> io::Result<Infallible> {
    if let Machine::Vm { .. } = booted.machine {
        tokio::spawn(async {
            let Err(error) = reclaim::run().await;
            console::error("memory is given back no more", &error);
        });
    }
    let (control, data) = ports(seat).await?;
    let guest = Arc::new(Guest::new(booted, Reaper::of_everything()?));
    let (connected, channel) = watch::channel(None);
    // Any address: containers inside reach the relay on their bridge, and nothing outside can, since
    // the machine has no network interface.
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PROXY_PORT)).await?;
    let for_the_unaware = channel.clone();
    tokio::spawn(async move {
        let error = relay::run(listener, channel).await;
        console::error("the relay to the proxy ended", &error);
    });
    serve_the_unaware(for_the_unaware).await?;
    tokio::spawn(async move {
        let Err(error) = keep_data(data, &connected).await;
        console::error("the channel to the proxy ended", &error);
    });
    keep_control(control, &guest).await
}

/// The ports for control and data: devices, or what a container was given.
async fn ports(seat: Option<Seat>) -> io::Result<(Port, Port)> {
    let Some(seat) = seat else {
        return Ok((
            Port::open(CONTROL_PORT).await?,
            Port::open(DATA_PORT).await?,
        ));
    };
    let seated = seat.register()?;
    tokio::spawn(async move {
        // Nothing more is said: it becomes readable when the supervisor is gone.
        let _ = seated.supervisor.readable().await;
        stop::exit()
    });
    Ok((Port::Socket(seated.control), Port::Socket(seated.data)))
}

/// The resolver and the relay for programs that know of no proxy.
async fn serve_the_unaware(channel: Channel) -> io::Result<()> {
    let names = resolver::Shared::default();
    for listener in listeners().await? {
        let (known, channel) = (Arc::clone(&names), channel.clone());
        tokio::spawn(async move {
            let error = transparent::run(listener, known, channel).await;
            console::error("the relay by name ended", &error);
        });
    }
    tokio::spawn(async move {
        let error = resolver::run(SocketAddrV4::new(OWN, resolver::PORT), names).await;
        console::error("the resolver ended", &error);
    });
    Ok(())
}

/// Where connections by name arrive. A container may not load programs into the kernel; it listens
/// itself, on the two ports that matter most.
async fn listeners() -> io::Result<Vec<TcpListener>> {
    let any_port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    match transparent::steer(&any_port) {
        Ok(()) => return Ok(vec![any_port]),
        Err(error) => console::error("only the web's ports are reached by name", &error),
    }
    let mut listeners = Vec::new();
    for port in transparent::WEB_PORTS {
        listeners.push(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?);
    }
    Ok(listeners)
}

/// Answers one host process after the other.
async fn keep_control(port: Port, guest: &Arc<Guest>) -> io::Result<Infallible> {
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
async fn keep_data(
    port: Port,
    connected: &watch::Sender<Option<Opener>>,
) -> io::Result<Infallible> {
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
