//! The frames of a running program: `kind u8 ‖ length u32 BE ‖ payload`, payload at most 64 KiB.
//!
//! Each direction has its own kinds, so a frame cannot arrive from the wrong side. Input is under a
//! window of its own ([`STDIN_WINDOW`], returned by [`ToHost::StdinTaken`]): the guest can then always
//! read the next frame, and a signal is never stuck behind input that the program does not take.

mod codec;
mod error;

use bytes::Bytes;

pub use codec::{FrameError, GuestCodec, HostCodec};
pub use error::{ExecError, ExecErrorKind};

/// Longest payload of a frame, in bytes.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Most bytes of standard input that the host may send ahead of the program taking them.
pub const STDIN_WINDOW: usize = 256 * 1024;

/// Host to guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToGuest {
    /// Input for the program.
    Stdin(Bytes),
    /// No more input will come. In a terminal this does nothing; type control-D there.
    StdinEof,
    /// The terminal has a new size.
    Resize {
        /// Height in characters.
        rows: u16,
        /// Width in characters.
        cols: u16,
    },
    /// Deliver this signal to the program's process group.
    Signal(u8),
    /// Let the program run on by itself: the guest closes, and what is said later is nobody's.
    Detach,
}

/// Guest to host. A conversation is `Started`, any number of the middle three, then `Exit`; or `Error`
/// alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToHost {
    /// The program runs.
    Started,
    /// The program's output; with a terminal all of it.
    Stdout(Bytes),
    /// The program's errors.
    Stderr(Bytes),
    /// The program, or its terminal, took this many bytes of input.
    StdinTaken(u32),
    /// The program ended; nothing follows.
    Exit(Exit),
    /// The program could not be started; nothing follows.
    Error(ExecError),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

impl Exit {
    /// What a shell would say: the code, or 128 and the signal.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

#[cfg(test)]
mod tests;
