//! PID 1 of the guest. Everything it does is in the library; here is only the order.

use std::process::ExitCode;

use guest::{boot, console, docker, init, stop};

fn main() -> ExitCode {
    if docker::runtime::is_called() {
        return docker::runtime::main();
    }
    if rustix::process::getpid() != rustix::process::Pid::INIT {
        console::line("this program is the init of a sandbox and runs only as process 1");
        return ExitCode::from(2);
    }
    let contained = std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "container");
    let booted = match contained {
        true => boot::adopt().map(|(booted, seat)| (booted, Some(seat))),
        false => boot::run().map(|booted| (booted, None)),
    };
    let error = match booted {
        Ok((booted, seat)) => match init::run(booted, seat) {
            Ok(never) => match never {},
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    console::line(&format!("the guest cannot go on: {error}"));
    stop::power_off()
}
