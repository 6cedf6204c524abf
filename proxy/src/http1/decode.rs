//! A body, taken out of its framing.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::chunked::{BadChunk, Chunked};
use super::fields::{self, BadField, Lines};

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    /// Where the connection ends. Only an answer's.
    Close,
}

/// Whether an answer has no body, whatever its fields say (RFC 9112 §6.3, rule 1). `to_head`: it answers `HEAD`.
pub(crate) fn is_bodiless(to_head: bool, status: StatusCode) -> bool {
    to_head
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadBody {
    /// Its chunks.
    Chunk,
    /// A trailer field.
    Field(BadField),
}

impl From<BadChunk> for BadBody {
    fn from(_: BadChunk) -> Self {
        Self::Chunk
    }
}

impl From<BadField> for BadBody {
    fn from(error: BadField) -> Self {
        Self::Field(error)
    }
}

/// Reads one body. Never takes a byte behind it.
#[derive(Debug)]
pub(crate) struct Decoder(State);

#[derive(Debug)]
enum State {
    /// This much is left.
    Length(u64),
    Chunked {
        scanner: Chunked,
        trailers: Vec<u8>,
    },
    /// All there is.
    Close,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The body is over.
    End,
    /// Nothing, before more bytes are there.
    More,
}

impl Decoder {
    pub(crate) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked {
                scanner: Chunked::new(),
                trailers: Vec::new(),
            },
            Framing::Close => State::Close,
        })
    }

    /// Takes the next piece off the front of `bytes`.
    pub(crate) fn next(&mut self, bytes: &mut BytesMut) -> Result<Piece, BadBody> {
        match &mut self.0 {
            State::Length(0) => Ok(Piece::End),
            // All of its bytes may have been taken, and its trailers not.
            State::Chunked { scanner, trailers } => chunk(scanner, trailers, bytes),
            _ if bytes.is_empty() => Ok(Piece::More),
            State::Length(left) => Ok(Piece::Data(take(bytes, left))),
            State::Close => Ok(Piece::Data(bytes.split().freeze())),
        }
    }

    /// Whether nothing of the body comes any more, as far as `bytes` tell; its last framing is taken off them.
    pub(crate) fn is_over(&mut self, bytes: &mut BytesMut) -> Result<bool, BadBody> {
        match &mut self.0 {
            State::Length(left) => Ok(*left == 0),
            State::Close => Ok(false),
            State::Chunked { scanner, trailers } => {
                skip_framing(scanner, trailers, bytes)?;
                Ok(*scanner == Chunked::Done && trailers.is_empty())
            }
        }
    }

    /// Whether the body ends where the connection does.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self.0, State::Close)
    }

    /// Bytes that are left, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) => Some(left),
            State::Chunked { .. } | State::Close => None,
        }
    }
}

/// At most `left` bytes, which become fewer by so many.
fn take(bytes: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    *left -= length as u64;
    bytes.split_to(length).freeze()
}

fn skip_framing(
    scanner: &mut Chunked,
    trailers: &mut Vec<u8>,
    bytes: &mut BytesMut,
) -> Result<(), BadBody> {
    let framing = scanner.scan_framing(bytes, trailers)?;
    bytes.advance(framing);
    Ok(())
}

fn chunk(
    scanner: &mut Chunked,
    trailers: &mut Vec<u8>,
    bytes: &mut BytesMut,
) -> Result<Piece, BadBody> {
    skip_framing(scanner, trailers, bytes)?;
    if *scanner == Chunked::Done {
        return match std::mem::take(trailers) {
            trailers if trailers.is_empty() => Ok(Piece::End),
            trailers => read(trailers).map(Piece::Trailers),
        };
    }
    let length = scanner.data_left().min(bytes.len());
    if length == 0 {
        return Ok(Piece::More);
    }
    let data = bytes.split_to(length).freeze();
    scanner.scan(&data)?;
    Ok(Piece::Data(data))
}

/// Trailer lines, each with its end.
fn read(lines: Vec<u8>) -> Result<HeaderMap, BadBody> {
    let whole = Bytes::from(lines);
    let text = whole.strip_suffix(b"\r\n").ok_or(BadBody::Chunk)?;
    fields::fields(&whole, Lines::new(text), |_, _| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data, trailers and what is left, of a body that comes in pieces of `size`. None if it has not ended.
    fn decoded(
        framing: Framing,
        body: &[u8],
        size: usize,
    ) -> Result<Option<(String, usize, usize)>, BadBody> {
        let mut decoder = Decoder::new(framing);
        let (mut data, mut fields) = (Vec::new(), 0);
        let mut bytes = BytesMut::new();
        let mut came = 0;
        for part in body.chunks(size) {
            bytes.extend_from_slice(part);
            came += part.len();
            loop {
                match decoder.next(&mut bytes)? {
                    Piece::Data(more) => {
                        data.extend_from_slice(&more);
                        // As whoever wants to know whether this was the last of it.
                        decoder.is_over(&mut bytes)?;
                    }
                    Piece::Trailers(trailers) => fields = trailers.len(),
                    Piece::More => break,
                    Piece::End => {
                        let behind = bytes.len() + body.len() - came;
                        return Ok(Some((String::from_utf8(data).unwrap(), fields, behind)));
                    }
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn bodies() {
        use Framing::{Chunked, Close, Length};
        type Expected = Result<Option<(&'static str, usize, usize)>, BadBody>;
        let bad = Err(BadBody::Chunk);
        let rows: &[(Framing, &[u8], Expected)] = &[
            (Length(5), b"hello", Ok(Some(("hello", 0, 0)))),
            (Length(5), b"helloHTTP/1.1", Ok(Some(("hello", 0, 8)))),
            (Length(5), b"hell", Ok(None)),
            (Close, b"hello", Ok(None)),
            (Chunked, b"0\r\n\r\n", Ok(Some(("", 0, 0)))),
            (
                Chunked,
                b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\nHTTP",
                Ok(Some(("hello!", 0, 4))),
            ),
            (
                Chunked,
                b"1\r\na\r\n0\r\nx: y\r\nz: \xff\r\n\r\n.",
                Ok(Some(("a", 2, 1))),
            ),
            (Chunked, b"5\r\nhello\r\n0\r\n", Ok(None)),
            (Chunked, b"5\r\nhelloX\r\n", bad),
            (Chunked, b"5\nhello", bad),
            (Chunked, b"0\r\n folded: x\r\n\r\n", bad),
            (
                Chunked,
                b"0\r\nno colon\r\n\r\n",
                Err(BadBody::Field(BadField::Malformed)),
            ),
            (
                Chunked,
                b"0\r\nx : y\r\n\r\n",
                Err(BadBody::Field(BadField::Malformed)),
            ),
        ];
        for (framing, body, expected) in rows {
            for size in 1..=body.len() {
                let found = decoded(*framing, body, size);
                let found = found.as_ref().map(|found| {
                    found
                        .as_ref()
                        .map(|(data, count, left)| (&**data, *count, *left))
                });
                assert_eq!(
                    found.map_err(|error| *error),
                    *expected,
                    "{} in pieces of {size}",
                    body.escape_ascii()
                );
            }
        }
    }
}
