//! Where a chunked body ends (RFC 9112 §7.1), with every byte of its framing checked.

/// Most hexadecimal digits of a chunk size: 2^60 bytes, far from overflow.
const MAX_DIGITS: u32 = 15;

/// Longest chunk extension. Extensions are never passed on.
const MAX_EXTENSION: u32 = 256;

/// Longest trailer section.
const MAX_TRAILERS: u32 = 8 * 1024;

/// A scanner over a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// In the digits of a size.
    Size { value: u64, digits: u32 },
    /// After `;` in a size line.
    Extension { value: u64, length: u32 },
    /// A size line's CR was read.
    SizeEnd { value: u64 },
    /// In a chunk's data.
    Data { left: u64 },
    /// A chunk's data is over, CR comes.
    DataCr,
    /// A chunk's data is over, LF comes.
    DataLf,
    /// At the start of a trailer line.
    TrailerStart { length: u32 },
    /// Inside a trailer line.
    Trailer { length: u32 },
    /// A trailer line's CR was read.
    TrailerEnd { length: u32 },
    /// The last CR was read.
    LastLf,
    /// The body is over.
    Done,
}

/// The framing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadChunk;

impl Chunked {
    /// The start of a body.
    pub(crate) fn new() -> Self {
        Self::Size {
            value: 0,
            digits: 0,
        }
    }

    /// Reads on. Returns how many bytes of `input` belong to the body: all of them unless it ends within.
    pub(crate) fn scan(&mut self, input: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while *self != Self::Done {
            let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            if let Self::Data { left } = self {
                let step = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= step as u64;
                at += step;
                if *left == 0 {
                    *self = Self::DataCr;
                }
                continue;
            }
            let Some(&byte) = rest.first() else { break };
            *self = self.step(byte).ok_or(BadChunk)?;
            at += 1;
        }
        Ok(at)
    }

    /// Reads framing on, up to a chunk's data or the end of the body, and gathers trailer lines with their ends. Returns
    /// how many bytes of `input` that were.
    pub(crate) fn scan_framing(
        &mut self,
        input: &[u8],
        trailers: &mut Vec<u8>,
    ) -> Result<usize, BadChunk> {
        let mut at = 0;
        for &byte in input {
            if matches!(self, Self::Data { .. } | Self::Done) {
                break;
            }
            let next = self.step(byte).ok_or(BadChunk)?;
            if matches!(next, Self::Trailer { .. } | Self::TrailerEnd { .. })
                || matches!(self, Self::TrailerEnd { .. })
            {
                trailers.push(byte);
            }
            *self = next;
            at += 1;
        }
        Ok(at)
    }

    /// How much of a chunk's data comes next.
    pub(crate) fn data_left(&self) -> usize {
        match self {
            Self::Data { left } => usize::try_from(*left).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    /// The state after one framing byte.
    fn step(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < MAX_DIGITS =>
            {
                let digit = char::from(byte).to_digit(16)?;
                Self::Size {
                    value: value << 4 | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Self::Size { digits: 0, .. }, _) => return None,
            (Self::Size { value, .. }, b';') => Self::Extension { value, length: 0 },
            (Self::Size { value, .. } | Self::Extension { value, .. }, b'\r') => {
                Self::SizeEnd { value }
            }
            (Self::Extension { value, length }, 0x20..=0x7e | b'\t') if length < MAX_EXTENSION => {
                Self::Extension {
                    value,
                    length: length + 1,
                }
            }
            (Self::SizeEnd { value: 0 }, b'\n') => Self::TrailerStart { length: 0 },
            (Self::SizeEnd { value }, b'\n') => Self::Data { left: value },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::new(),
            (Self::TrailerStart { .. }, b'\r') => Self::LastLf,
            (Self::TrailerStart { .. }, b' ' | b'\t') => return None,
            (Self::Trailer { length }, b'\r') => Self::TrailerEnd { length },
            (
                Self::TrailerStart { length } | Self::Trailer { length },
                0x20..=0x7e | b'\t' | 0x80..,
            ) if length < MAX_TRAILERS => Self::Trailer { length: length + 1 },
            (Self::TrailerEnd { length }, b'\n') => Self::TrailerStart { length },
            (Self::LastLf, b'\n') => Self::Done,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(input: &[u8]) -> Result<(usize, bool), BadChunk> {
        let mut chunked = Chunked::new();
        let read = chunked.scan(input)?;
        Ok((read, chunked == Chunked::Done))
    }

    #[test]
    fn bodies() {
        let rows: &[(&[u8], Result<usize, ()>)] = &[
            (b"0\r\n\r\n", Ok(5)),
            (b"3\r\nabc\r\n0\r\n\r\n", Ok(13)),
            (b"A\r\n0123456789\r\n0\r\n\r\nGET /", Ok(20)),
            (b"3;ext=\"x\"\r\nabc\r\n0\r\n\r\n", Ok(21)),
            (b"0\r\nX: y\r\nZ: \xff\r\n\r\n", Ok(17)),
            (b"\r\n", Err(())),
            (b"3\nabc", Err(())),
            (b"3\r\nabc\n", Err(())),
            (b"3\r\nabcd", Err(())),
            (b"0_2e\r\n", Err(())),
            (b"-0x0\r\n", Err(())),
            (b" 3\r\n", Err(())),
            (b"3 \r\n", Err(())),
            (b"0000000000000001\r\n", Err(())),
            (b"3;a\rb\r\n", Err(())),
            (b"3;a\nb\r\n", Err(())),
            (b"0\r\n X: y\r\n\r\n", Err(())),
            (b"0\r\nX\ny\r\n\r\n", Err(())),
            (b"0\r\n\n", Err(())),
        ];
        for (input, expected) in rows {
            let result = whole(input);
            assert_eq!(
                result.map_err(|_| ()),
                expected.map(|read| (read, true)),
                "{:?}",
                input.escape_ascii()
            );
        }
    }

    #[test]
    fn bytes_may_come_in_any_pieces() {
        let body = b"3;x\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n";
        for size in 1..body.len() {
            let mut chunked = Chunked::new();
            let read: usize = body
                .chunks(size)
                .map(|part| chunked.scan(part).unwrap())
                .sum();
            assert_eq!((read, chunked), (body.len(), Chunked::Done), "{size}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        for endless in [
            format!("1;{}", "x".repeat(300)),
            format!("0\r\nX: {}", "y".repeat(9000)),
        ] {
            assert_eq!(whole(endless.as_bytes()), Err(BadChunk));
        }
    }
}
