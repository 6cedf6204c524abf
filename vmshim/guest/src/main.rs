//! PID 1 of the guest. Everything it does is in the library; here is only the order.

use std::process::ExitCode;

use guest::{boot, console, init, stop};

fn main() -> ExitCode {
    if rustix::process::getpid() != rustix::process::Pid::INIT {
        console::line("this program is the init of a sandbox and runs only as process 1");
        return ExitCode::from(2);
    }
    let error = match boot::run() {
        Ok(booted) => match init::run(booted) {
            Ok(never) => match never {},
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    console::line(&format!("the guest cannot go on: {error}"));
    stop::power_off()
}
