//! What process 1 does after the boot.

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;

use rustix::system::{RebootCommand, reboot};
use wire::message::{self, Hello, Reply, Request};
use wire::mux::{self, Side};
use wire::{CONTROL_PORT, PROTOCOL};

use crate::boot::{Booted, uptime_ms};
use crate::console;
use crate::port::Port;

/// Runs for the machine's life.
pub fn run(booted: Booted) -> io::Result<Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(booted))
}

async fn serve(mut booted: Booted) -> io::Result<Infallible> {
    let port = Port::open(CONTROL_PORT).await?;
    loop {
        let conversation = port.converse().await?;
        booted.timings.host_ms = Some(uptime_ms());
        let (_, mut acceptor, driver) = mux::new(conversation, Side::Guest);
        tokio::spawn(driver.run());
        while let Ok(mut stream) = acceptor.accept().await {
            let hello = Reply::Hello(Hello {
                protocol: PROTOCOL,
                kernel: rustix::system::uname()
                    .release()
                    .to_string_lossy()
                    .into_owned(),
                configured: false,
                timings: booted.timings,
            });
            match message::read::<Request, _>(&mut stream).await {
                Ok(Request::Boot) => drop(message::write(&mut stream, &hello).await),
                Ok(other) => console::line(&format!("unexpected {other:?}")),
                Err(error) => console::error("control", &error),
            }
        }
    }
}

/// Switches the machine off at once.
pub fn power_off() -> ExitCode {
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    ExitCode::FAILURE
}
