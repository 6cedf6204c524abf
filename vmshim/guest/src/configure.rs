//! Making a booted machine the sandbox that the host asks for.

mod error;
mod hosts;
mod seed;
mod settings;
mod share;
mod user;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::time::{ClockId, Timespec, clock_settime};
use wire::message::Configure;

use crate::boot::Machine;
use crate::{environment, trust};
pub use error::ConfigureError;
use error::Doing;

/// Applies the configuration to this machine. Returns the variables that every program gets.
pub fn apply(
    config: &Configure,
    machine: &Machine,
) -> Result<Vec<(String, String)>, ConfigureError> {
    match machine {
        Machine::Vm { .. } => own(config)?,
        Machine::Container => reach_shares(config)?,
    }
    write_files(Path::new("/"), config)
}

/// What only a machine of its own has.
fn own(config: &Configure) -> Result<(), ConfigureError> {
    set_clock(config.time_unix_ns).doing("set the clock")?;
    let name = config.hostname.as_bytes();
    rustix::system::sethostname(name).doing("set the host name")?;
    for one in &config.shares {
        share::mount(one).doing(format!("mount the shared folder `{}`", one.path))?;
    }
    Ok(())
}

/// A container's runtime has mounted its shares.
fn reach_shares(config: &Configure) -> Result<(), ConfigureError> {
    let root = fs::metadata("/").doing("read /")?.dev();
    for one in &config.shares {
        let opened = share::open_way(Path::new(&one.path), root);
        opened.doing(format!("open the way to `{}`", one.path))?;
    }
    Ok(())
}

/// The part of it that is files, below this root.
fn write_files(root: &Path, config: &Configure) -> Result<Vec<(String, String)>, ConfigureError> {
    user::ensure(root, &config.user)?;
    hosts::write(root, &config.hostname).doing("write /etc/hosts")?;
    hosts::write_resolver(root).doing("write /etc/resolv.conf")?;
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
