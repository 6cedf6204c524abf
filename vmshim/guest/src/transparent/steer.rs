//! Makes the kernel deliver connections to any synthetic address and port to one listening socket.
//!
//! A program of two dozen lines for the kernel's socket lookup (`BPF_PROG_TYPE_SK_LOOKUP`, Linux 5.9) is
//! all that it takes: no netfilter modules, no port that a program inside could miss, and nothing in the
//! way of its own listeners. See `Documentation/bpf/prog_sk_lookup.rst`.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

use tokio::net::TcpListener;

use super::bpf::{self, Insn};
use crate::names::{HOST, LAST};
use crate::relay::PROXY_PORT;

/// Why connections are not steered. The sandbox works without; programs must then know the proxy.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct SteerError {
    doing: &'static str,
    source: io::Error,
}

/// Steers connections to [`HOST`]`..=`[`LAST`] to `listener`, for as long as the machine's network lives.
/// The proxy's port is left to its own listener.
pub fn steer(listener: &TcpListener) -> Result<(), SteerError> {
    let failed = |doing| move |source| SteerError { doing, source };
    let map = bpf::socket_map().map_err(failed("make a map of sockets"))?;
    bpf::put(&map, listener.as_fd()).map_err(failed("put the listener into the map"))?;
    let program = program(map.as_raw_fd());
    let program = bpf::load(&program).map_err(failed("load the program"))?;
    let network =
        std::fs::File::open("/proc/thread-self/ns/net").map_err(failed("open the network"))?;
    let link = bpf::attach(&program, network.as_fd()).map_err(failed("attach the program"))?;
    // The link is the attachment: it lasts while the descriptor is open.
    std::mem::forget(link);
    Ok(())
}

// Offsets in `struct bpf_sk_lookup` (linux/bpf.h).
const FAMILY: i16 = 8;
const PROTOCOL: i16 = 12;
const LOCAL_IP4: i16 = 40;
const LOCAL_PORT: i16 = 60;

const AF_INET: i32 = 2;
const IPPROTO_TCP: i32 = 6;

// Helper functions, by number.
const MAP_LOOKUP_ELEM: i32 = 1;
const SK_RELEASE: i32 = 86;
const SK_ASSIGN: i32 = 124;

/// Go on as if there were no program; with a socket assigned, go on with that.
const SK_PASS: i32 = 1;

/// The program: a listener for TCP over IPv4 to an address in the range, and nothing else.
fn program(map: i32) -> Vec<Insn> {
    /// From the line of a test to the two lines at the end.
    const PASS: i16 = 25;
    let to_pass = |line: i16| PASS - line - 1;
    let [map_low, map_high] = Insn::load_map(1, map);
    vec![
        Insn::mov(6, 1),                                   // 0: r6 = context
        Insn::load32(0, 6, FAMILY),                        // 1
        Insn::jump32_ne(0, AF_INET, to_pass(2)),           // 2
        Insn::load32(0, 6, PROTOCOL),                      // 3
        Insn::jump32_ne(0, IPPROTO_TCP, to_pass(4)),       // 4
        Insn::load32(0, 6, LOCAL_PORT),                    // 5
        Insn::jump32_eq(0, PROXY_PORT.into(), to_pass(6)), // 6
        Insn::load32(0, 6, LOCAL_IP4),                     // 7
        Insn::from_network32(0),                           // 8
        Insn::jump32_lt(0, number(HOST), to_pass(9)),      // 9
        Insn::jump32_gt(0, number(LAST), to_pass(10)),     // 10
        Insn::store32(10, -4, 0),                          // 11: the map's key, 0
        map_low,                                           // 12
        map_high,                                          // 13
        Insn::mov(2, 10),                                  // 14
        Insn::add(2, -4),                                  // 15
        Insn::call(MAP_LOOKUP_ELEM),                       // 16
        Insn::jump_eq(0, 0, to_pass(17)),                  // 17
        Insn::mov(7, 0),                                   // 18: r7 = the listener
        Insn::mov(1, 6),                                   // 19
        Insn::mov(2, 7),                                   // 20
        Insn::set(3, 0),                                   // 21
        Insn::call(SK_ASSIGN),                             // 22
        Insn::mov(1, 7),                                   // 23
        Insn::call(SK_RELEASE),                            // 24
        Insn::set(0, SK_PASS),                             // 25
        Insn::exit(),                                      // 26
    ]
}

/// An address as the number that the program compares.
fn number(address: Ipv4Addr) -> i32 {
    address.to_bits().cast_signed()
}

#[cfg(test)]
mod tests;
