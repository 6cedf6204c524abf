//! The program that is PID 1 of a sandbox.
//!
//! [`boot`] turns the initramfs into the sandbox's root. [`init`] then runs for the machine's life: it
//! answers the host on the control port ([`configure`] once, [`exec`], shut down) and carries TCP
//! connections from `host.docker.internal:3128` to the proxy on the data port ([`relay`]). For programs
//! that know of no proxy it answers names with synthetic addresses ([`resolver`], [`names`]) and makes
//! connections to those a `CONNECT` ([`transparent`]). A template's Docker daemon it starts when it is needed ([`docker`]).
//!
//! Everything in here runs inside the attacker's machine, with the attacker as root. None of it
//! protects the host; it is convenience for the programs inside. What protects the host is that the
//! machine has no other way out.

pub mod boot;
pub mod configure;
pub mod console;
pub mod control;
pub mod docker;
pub mod environment;
pub mod exec;
pub mod init;
pub mod names;
pub mod notice;
pub mod reclaim;
pub mod relay;
pub mod resolver;
pub mod seat;
pub mod stop;
pub mod transparent;
pub mod trust;

mod device;
mod files;
mod port;
