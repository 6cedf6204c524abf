//! Notices that an address came to this machine, or left it.

use std::io;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR` (rtnetlink(7)).
const ADDRESSES: u32 = 0x10 | 0x100;

/// The kernel's word on it. It may not give any: then only looking tells.
pub(super) struct Changes(Option<AsyncFd<OwnedFd>>);

impl Changes {
    /// Hears what changes from now on.
    pub(super) fn new() -> Self {
        Self(open().ok())
    }

    /// Waits for a change. What it was does not matter: the addresses are read again.
    pub(super) async fn next(&self) {
        let Some(socket) = &self.0 else {
            return std::future::pending().await;
        };
        if socket.async_io(Interest::READABLE, drain).await.is_err() {
            std::future::pending().await
        }
    }
}

#[expect(
    deprecated,
    reason = "its replacement is unsafe for types that change their descriptor; `OwnedFd` cannot"
)]
fn open() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, ADDRESSES))?;
    AsyncFd::new(socket)
}

/// Reads all notices there are; an error of kind `WouldBlock` if there are none.
fn drain(socket: &OwnedFd) -> io::Result<()> {
    let mut notice = [0; 4096];
    let mut next = || match recv(socket, &mut notice, RecvFlags::empty()) {
        // More has changed than there was room to tell.
        Err(Errno::NOBUFS) => Ok(()),
        received => received.map(drop),
    };
    next()?;
    while next().is_ok() {}
    Ok(())
}
