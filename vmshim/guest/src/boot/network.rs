//! The loopback interface, the only one there is.

use std::net::Ipv4Addr;

use super::{BootError, Step, netlink};
use crate::names::{OWN, RANGE};

/// `lo` is always the first interface of a network namespace.
pub(crate) const LOOPBACK_INDEX: i32 = 1;

/// Sets `lo` up; the kernel gives it 127.0.0.1 and ::1 by itself. On loopback an address with a prefix
/// makes the whole network the machine's own, so that a connection to any synthetic address arrives.
pub(super) fn bring_up_loopback() -> Result<(), BootError> {
    netlink::set_up(LOOPBACK_INDEX).step("bring up the loopback interface")?;
    add_own_address().step(format!("give the loopback interface {OWN}"))
}

pub(crate) fn add_own_address() -> std::io::Result<()> {
    let (_, prefix): (Ipv4Addr, u8) = RANGE;
    netlink::add_address(LOOPBACK_INDEX, OWN, prefix)
}
