//! What the host and the guest of a sandbox say to each other.
//!
//! A guest has no network device, only two virtio-serial ports:
//!
//! ```text
//! sandbox.data     guest relay ──opens streams──► proxy process
//! sandbox.control  guest init  ◄──opens streams── supervisor
//! ```
//!
//! From the bottom up, each port carries
//!
//! 1. [`resync`]: a handshake that throws away what a dead process left in the port,
//! 2. [`mux`]: yamux, which makes one byte pipe into many streams with half-close and flow control,
//! 3. on a data stream nothing more: the bytes of one TCP connection, which nobody in between reads;
//!    on a control stream one [`message`], and after an exec request the frames of [`exec`].
//!
//! The crate has no opinion on sockets, processes or files. Both ends are untrusted to each other in
//! the sense that matters: every length is bounded before it is believed.
#![forbid(unsafe_code)]

pub mod exec;
pub mod message;
pub mod mux;
pub mod resync;
pub mod text;

/// Name of the virtio-serial port whose streams are opened by the host: configuration and exec.
pub const CONTROL_PORT: &str = "sandbox.control";

/// Name of the virtio-serial port whose streams are opened by the guest: one per TCP connection.
pub const DATA_PORT: &str = "sandbox.data";

/// What the guest's init says on the console of a machine in which nothing that waits would ever wake. The host
/// then starts another.
pub const NO_TIMER: &str = "the kernel found no timer that works";

/// Version of everything in this crate. Guest and host are built together, so a difference means
/// that a VM outlived an upgrade of the host program.
pub const PROTOCOL: u32 = 2;
