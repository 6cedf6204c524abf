//! Frames to bytes and back, strictly: a frame that is not exactly right ends the conversation.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::{ExecError, ExecErrorKind, Exit, MAX_PAYLOAD, ToGuest, ToHost};
use crate::text::printable;

const HEADER: usize = 5;

const STDIN: u8 = 1;
const STDIN_EOF: u8 = 2;
const RESIZE: u8 = 3;
const SIGNAL: u8 = 4;
const DETACH: u8 = 5;
const STARTED: u8 = 16;
const STDOUT: u8 = 17;
const STDERR: u8 = 18;
const STDIN_TAKEN: u8 = 19;
const EXIT: u8 = 20;
const ERROR: u8 = 21;

/// Highest signal number on Linux.
const MAX_SIGNAL: u8 = 64;

/// Why a conversation about a program cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream failed.
    #[error("the exec stream failed")]
    Io(#[from] io::Error),
    /// A payload is longer than [`MAX_PAYLOAD`].
    #[error("an exec frame of {0} bytes is too long")]
    TooLong(usize),
    /// The kind is not one of this direction.
    #[error("an exec frame has the unknown kind {0}")]
    UnknownKind(u8),
    /// The payload is not what its kind must have.
    #[error("an exec frame of kind {0} is malformed")]
    Malformed(u8),
}

/// The host's end: writes [`ToGuest`], reads [`ToHost`].
#[derive(Debug, Default)]
pub struct HostCodec;

/// The guest's end: writes [`ToHost`], reads [`ToGuest`].
#[derive(Debug, Default)]
pub struct GuestCodec;

impl Encoder<ToGuest> for HostCodec {
    type Error = FrameError;

    fn encode(&mut self, frame: ToGuest, out: &mut BytesMut) -> Result<(), FrameError> {
        match frame {
            ToGuest::Stdin(bytes) => put(out, STDIN, &bytes),
            ToGuest::StdinEof => put(out, STDIN_EOF, &[]),
            ToGuest::Resize { rows, cols } => {
                let ([a, b], [c, d]) = (rows.to_be_bytes(), cols.to_be_bytes());
                put(out, RESIZE, &[a, b, c, d])
            }
            ToGuest::Signal(signal) => put(out, SIGNAL, &[signal]),
            ToGuest::Detach => put(out, DETACH, &[]),
        }
    }
}

impl Decoder for GuestCodec {
    type Item = ToGuest;
    type Error = FrameError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<ToGuest>, FrameError> {
        let Some((kind, payload)) = take(input)? else {
            return Ok(None);
        };
        Ok(Some(match (kind, payload.as_ref()) {
            (STDIN, [_, ..]) => ToGuest::Stdin(payload),
            (STDIN_EOF, []) => ToGuest::StdinEof,
            (RESIZE, &[a, b, c, d]) => ToGuest::Resize {
                rows: u16::from_be_bytes([a, b]),
                cols: u16::from_be_bytes([c, d]),
            },
            (SIGNAL, &[signal @ 1..=MAX_SIGNAL]) => ToGuest::Signal(signal),
            (DETACH, []) => ToGuest::Detach,
            (STDIN | STDIN_EOF | RESIZE | SIGNAL | DETACH, _) => {
                return Err(FrameError::Malformed(kind));
            }
            _ => return Err(FrameError::UnknownKind(kind)),
        }))
    }
}

impl Encoder<ToHost> for GuestCodec {
    type Error = FrameError;

    fn encode(&mut self, frame: ToHost, out: &mut BytesMut) -> Result<(), FrameError> {
        match frame {
            ToHost::Started => put(out, STARTED, &[]),
            ToHost::Stdout(bytes) => put(out, STDOUT, &bytes),
            ToHost::Stderr(bytes) => put(out, STDERR, &bytes),
            ToHost::StdinTaken(count) => put(out, STDIN_TAKEN, &count.to_be_bytes()),
            ToHost::Exit(Exit::Code(code)) => put(out, EXIT, &[0, code]),
            ToHost::Exit(Exit::Signal(signal)) => put(out, EXIT, &[1, signal]),
            ToHost::Error(ExecError { kind, message }) => {
                let payload = [&[kind.byte()], message.as_bytes()].concat();
                put(out, ERROR, &payload)
            }
        }
    }
}

impl Decoder for HostCodec {
    type Item = ToHost;
    type Error = FrameError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<ToHost>, FrameError> {
        let Some((kind, payload)) = take(input)? else {
            return Ok(None);
        };
        Ok(Some(match (kind, payload.as_ref()) {
            (STARTED, []) => ToHost::Started,
            (STDOUT, [_, ..]) => ToHost::Stdout(payload),
            (STDERR, [_, ..]) => ToHost::Stderr(payload),
            (STDIN_TAKEN, &[a, b, c, d]) => ToHost::StdinTaken(u32::from_be_bytes([a, b, c, d])),
            (EXIT, &[0, code]) => ToHost::Exit(Exit::Code(code)),
            (EXIT, &[1, signal @ 1..=MAX_SIGNAL]) => ToHost::Exit(Exit::Signal(signal)),
            (ERROR, [class, message @ ..]) => ToHost::Error(error(*class, message)?),
            (STARTED | STDOUT | STDERR | STDIN_TAKEN | EXIT | ERROR, _) => {
                return Err(FrameError::Malformed(kind));
            }
            _ => return Err(FrameError::UnknownKind(kind)),
        }))
    }
}

fn error(class: u8, message: &[u8]) -> Result<ExecError, FrameError> {
    let kind = ExecErrorKind::from_byte(class).ok_or(FrameError::Malformed(ERROR))?;
    let message = std::str::from_utf8(message).map_err(|_| FrameError::Malformed(ERROR))?;
    Ok(ExecError {
        kind,
        message: printable(message),
    })
}

fn put(out: &mut BytesMut, kind: u8, payload: &[u8]) -> Result<(), FrameError> {
    let len = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= MAX_PAYLOAD)
        .ok_or(FrameError::TooLong(payload.len()))?;
    out.reserve(HEADER + payload.len());
    out.put_u8(kind);
    out.put_u32(len);
    out.put_slice(payload);
    Ok(())
}

/// The next whole frame, without a copy of its payload.
fn take(input: &mut BytesMut) -> Result<Option<(u8, Bytes)>, FrameError> {
    let Some(&[kind, a, b, c, d]) = input.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    if len > MAX_PAYLOAD {
        return Err(FrameError::TooLong(len));
    }
    if input.len() < HEADER + len {
        input.reserve(HEADER + len - input.len());
        return Ok(None);
    }
    input.advance(HEADER);
    Ok(Some((kind, input.split_to(len).freeze())))
}
