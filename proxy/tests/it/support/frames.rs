//! HTTP/2 made of frames, so that a client can say what no library lets it say (RFC 9113 §4, §6).

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use super::{Tunnel, soon};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// What a client says first, with empty settings.
pub(crate) fn preface() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Fields as a block: literals, not indexed, not Huffman-coded (RFC 7541 §6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = fields.iter().flat_map(|(name, value)| {
        let mut field = vec![0];
        field.extend(text(name));
        field.extend(text(value));
        field
    });
    fields.collect()
}

fn text(text: &str) -> Vec<u8> {
    [integer(text.len(), 7), text.as_bytes().to_vec()].concat()
}

/// RFC 7541 §5.1.
fn integer(value: usize, prefix: u32) -> Vec<u8> {
    let limit = (1 << prefix) - 1;
    if value < limit {
        return vec![u8::try_from(value).unwrap()];
    }
    let (mut bytes, mut left) = (vec![u8::try_from(limit).unwrap()], value - limit);
    while left >= 128 {
        bytes.push(u8::try_from(left % 128).unwrap() | 128);
        left /= 128;
    }
    bytes.push(u8::try_from(left).unwrap());
    bytes
}

/// A frame that was received.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Received {
    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// How a stream ends, as far as its beginning tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(u16),
    Reset(u32),
    GoAway(u32),
    Closed,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Tunnel<I> {
    /// The next frame; none when the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<Received> {
        let mut head = [0; 9];
        soon("a frame", self.io.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        soon("a frame's payload", self.io.read_exact(&mut payload))
            .await
            .ok()?;
        Some(Received {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
            payload,
        })
    }

    /// What becomes of `stream`.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Outcome {
        self.begun(stream).await.0
    }

    /// The same, and whether the answer is over with its head.
    pub(crate) async fn begun(&mut self, stream: u32) -> (Outcome, bool) {
        while let Some(frame) = self.frame().await {
            let outcome = match frame.kind {
                HEADERS if frame.stream == stream => Outcome::Status(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => Outcome::Reset(frame.number(0)),
                // Code 0 only says that no more streams are taken.
                GOAWAY if frame.number(4) != 0 => Outcome::GoAway(frame.number(4)),
                _ => continue,
            };
            return (outcome, frame.flags & END_STREAM != 0);
        }
        (Outcome::Closed, true)
    }
}

/// `:status`, the first field of an answer: an entry of the static table, or digits after the name's index.
fn status(block: &[u8]) -> u16 {
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [0x20..=0x3f, rest @ ..] => status(rest), // the table's size, before the first field
        [indexed @ 0x88..=0x8e, ..] => STATIC[usize::from(indexed - 0x88)],
        [0x48 | 0x08 | 0x18, coded, digits @ ..] if coded & 0x80 != 0 => {
            huffman(&digits[..usize::from(coded & 0x7f)])
        }
        [0x48 | 0x08 | 0x18, 3, digits @ ..] => {
            std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap()
        }
        other => panic!("no status: {other:02x?}"),
    }
}

/// Three digits in the code of RFC 7541, appendix B: five bits for 0 to 2, six for the others.
fn huffman(bytes: &[u8]) -> u16 {
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)));
    let mut digit = || {
        let five = (0..5).fold(0, |code, _| code << 1 | bits.next().unwrap());
        match five {
            0..=2 => five,
            _ => (five << 1 | bits.next().unwrap()) - 0x19 + 3,
        }
    };
    (0..3).fold(0, |number, _| number * 10 + digit())
}
