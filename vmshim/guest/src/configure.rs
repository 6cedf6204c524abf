//! Making a booted machine the sandbox that the host asks for.

mod error;
mod hosts;
mod seed;
mod settings;
mod share;
mod user;

use std::path::Path;

use rustix::time::{ClockId, Timespec, clock_settime};
use wire::message::Configure;

use crate::{environment, trust};
pub use error::ConfigureError;
use error::Doing;

/// Applies the configuration to this machine. Returns the variables that every program gets.
pub fn apply(config: &Configure) -> Result<Vec<(String, String)>, ConfigureError> {
    set_clock(config.time_unix_ns).doing("set the clock")?;
    let name = config.hostname.as_bytes();
    rustix::system::sethostname(name).doing("set the host name")?;
    for one in &config.shares {
        share::mount(one).doing(format!("mount the shared folder `{}`", one.path))?;
    }
    write_files(Path::new("/"), config)
}

/// The part of it that is files, below this root.
fn write_files(root: &Path, config: &Configure) -> Result<Vec<(String, String)>, ConfigureError> {
    user::ensure(root, &config.user)?;
    hosts::write(root, &config.hostname).doing("write /etc/hosts")?;
    if let Some(pem) = &config.ca_pem {
        trust::install(root, pem).doing("install the proxy's certificate")?;
    }
    let mut env = environment::table(config.ca_pem.as_deref());
    env.extend(config.env.iter().cloned());
    settings::write(root, &env).doing("write the proxy settings")?;
    for one in &config.seeds {
        seed::plant(root, one, &config.user).doing(format!("write `{}`", one.path))?;
    }
    Ok(env)
}

fn set_clock(time_unix_ns: u64) -> rustix::io::Result<()> {
    let seconds = i64::try_from(time_unix_ns / 1_000_000_000).unwrap_or(i64::MAX);
    let nanoseconds = i64::try_from(time_unix_ns % 1_000_000_000).unwrap_or_default();
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    clock_settime(ClockId::Realtime, time)
}

#[cfg(test)]
mod tests;
