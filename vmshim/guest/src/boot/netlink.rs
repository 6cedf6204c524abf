//! As much of rtnetlink(7) as one interface takes.

use std::io;
use std::net::Ipv4Addr;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// Offset of the error number in an answer: behind the header of 16 bytes.
const ERROR_AT: usize = 16;

/// Sets an interface up.
pub(crate) fn set_up(index: i32) -> io::Result<()> {
    let mut body = vec![0; 4]; // struct ifinfomsg: family, padding, type
    body.extend(index.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes()); // flags
    body.extend(IFF_UP.to_ne_bytes()); // which of them to change
    ask(RTM_NEWLINK, 0, &body)
}

/// Gives an interface an address and the network around it.
pub(crate) fn add_address(index: i32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    let mut body = vec![AF_INET, prefix, 0, 0]; // struct ifaddrmsg: family, prefix, flags, scope
    body.extend(index.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8_u16.to_ne_bytes()); // struct rtattr: length with this header of 4
        body.extend(kind.to_ne_bytes());
        body.extend(address.octets());
    }
    ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body)
}

/// Sends one request and waits for its acknowledgement.
fn ask(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    // Protocol 0 of this family is NETLINK_ROUTE.
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(
        &socket,
        &message(kind, flags, body),
        SendFlags::empty(),
        &kernel,
    )?;
    let mut answer = [0; 256];
    let (len, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    acknowledged(answer.get(..len).unwrap_or_default())
}

/// `struct nlmsghdr` and what follows it, all in host byte order.
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + body.len()).unwrap_or_default();
    let mut message = len.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend(1_u32.to_ne_bytes()); // sequence
    message.extend(0_u32.to_ne_bytes()); // port
    message.extend(body);
    message
}

fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..).and_then(<[u8]>::first_chunk::<2>);
    let error = answer.get(ERROR_AT..).and_then(<[u8]>::first_chunk::<4>);
    match (
        kind.copied().map(u16::from_ne_bytes),
        error.copied().map(i32::from_ne_bytes),
    ) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(errno)) => Err(io::Error::from_raw_os_error(-errno)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_acknowledgement_or_an_error() {
        let answer = |kind: u16, errno: i32| {
            let mut bytes = vec![0; ERROR_AT + 4];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[ERROR_AT..].copy_from_slice(&errno.to_ne_bytes());
            bytes
        };
        assert!(acknowledged(&answer(NLMSG_ERROR, 0)).is_ok());
        let refused = acknowledged(&answer(NLMSG_ERROR, -1)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(1));
        let rows = [
            answer(3, 0),
            vec![],
            answer(NLMSG_ERROR, 0)[..ERROR_AT].to_vec(),
        ];
        for row in rows {
            let odd = acknowledged(&row).unwrap_err();
            assert_eq!(odd.kind(), io::ErrorKind::InvalidData, "{row:?}");
        }
    }

    #[test]
    fn the_kernel_understands_the_request() {
        // Setting up what is up, or being refused for want of privilege: both come from the kernel
        // having understood. A malformed message is EINVAL.
        match set_up(super::super::network::LOOPBACK_INDEX) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}"),
        }
    }
}
