//! One head of an answer, checked byte by byte (RFC 9112 §4–§6). What is ambiguous is refused, never repaired.

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Method, StatusCode};

use crate::http1::decode::{BadBody, Framing, is_bodiless};
use crate::http1::fields::{BadField, Lines, MAX_FIELDS, connection_has, fields, is_text};
use crate::http1::head::{self, HeadError, decimal};

/// Longest head, status line and all fields.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// What every answer begins with.
const HTTP: &[u8] = b"HTTP/1.";

/// A head that passed.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) framing: Framing,
    /// Whether the origin means to answer again on the same connection.
    pub(super) persists: bool,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("its head is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("it has more than {MAX_FIELDS} header fields")]
    TooManyFields,
    #[error("a line end is not CR LF, or a control character is in the head")]
    BadByte,
    #[error("the status line is not one of HTTP/1.0 or HTTP/1.1")]
    StatusLine,
    #[error("a header field is malformed")]
    Field,
    #[error("a header field is folded over two lines")]
    Folded,
    #[error("`Content-Length` must be one plain decimal number")]
    ContentLength,
    #[error("`Transfer-Encoding` must be exactly `chunked`, once, in HTTP/1.1")]
    TransferEncoding,
    #[error("`Content-Length` and `Transfer-Encoding` are both present")]
    TwoLengths,
    #[error("more than {0} interim answers came before the final one")]
    Interim(u32),
    #[error("its body is not correctly chunked")]
    Chunk,
}

impl From<BadField> for AnswerError {
    fn from(error: BadField) -> Self {
        match error {
            BadField::TooMany => Self::TooManyFields,
            BadField::Folded => Self::Folded,
            BadField::Malformed => Self::Field,
            BadField::BadByte => Self::BadByte,
        }
    }
}

impl From<BadBody> for AnswerError {
    fn from(error: BadBody) -> Self {
        match error {
            BadBody::Chunk => Self::Chunk,
            BadBody::Field(error) => error.into(),
        }
    }
}

/// Where the head in `bytes` ends, if it does. `from` is how far an earlier call has looked.
pub(super) fn end(bytes: &[u8], from: usize) -> Result<Option<usize>, AnswerError> {
    let begun = bytes.get(..HTTP.len()).unwrap_or(bytes);
    if !HTTP.starts_with(begun) {
        // Whatever speaks here, it might never send an empty line.
        return Err(AnswerError::StatusLine);
    }
    head::end(bytes, from, MAX_BYTES).map_err(|error| match error {
        HeadError::TooLarge => AnswerError::TooLarge,
        _ => AnswerError::BadByte,
    })
}

/// Reads one whole head, its final empty line included, as an answer to `method`.
pub(super) fn read(head: &Bytes, method: &Method) -> Result<Head, AnswerError> {
    let text = head.strip_suffix(b"\r\n\r\n").ok_or(AnswerError::BadByte)?;
    let mut lines = Lines::new(text);
    let (status, is_11) = status_line(lines.next().unwrap_or_default())?;
    let fields = fields(head, lines, |_, _| Ok::<_, AnswerError>(()))?;
    let framing = match framing(&fields, is_11)? {
        _ if is_bodiless(*method == Method::HEAD, status) => Framing::Length(0),
        framing => framing,
    };
    Ok(Head {
        status,
        framing,
        persists: is_11 && !connection_has(&fields, "close"),
        fields,
    })
}

fn status_line(line: &[u8]) -> Result<(StatusCode, bool), AnswerError> {
    let (version, rest) = line
        .split_at_checked(HTTP.len() + 1)
        .ok_or(AnswerError::StatusLine)?;
    let is_11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(AnswerError::StatusLine),
    };
    let (status, reason) = match rest {
        [b' ', a, b, c] => ([*a, *b, *c], &[][..]),
        [b' ', a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err(AnswerError::StatusLine),
    };
    if !is_text(reason) {
        return Err(AnswerError::BadByte);
    }
    let status = StatusCode::from_bytes(&status).map_err(|_| AnswerError::StatusLine)?;
    Ok((status, is_11))
}

/// What the fields say, whatever status and method then make of it: a head that contradicts itself is refused even where
/// no body follows.
fn framing(fields: &HeaderMap, is_11: bool) -> Result<Framing, AnswerError> {
    let mut lengths = fields.get_all(header::CONTENT_LENGTH).iter();
    let mut encodings = fields.get_all(header::TRANSFER_ENCODING).iter();
    match (lengths.next(), encodings.next()) {
        (None, None) => Ok(Framing::Close),
        (Some(_), Some(_)) => Err(AnswerError::TwoLengths),
        (Some(length), None) => decimal(length.as_bytes())
            .filter(|_| lengths.next().is_none())
            .map(Framing::Length)
            .ok_or(AnswerError::ContentLength),
        (None, Some(encoding)) => {
            let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
            match chunked && is_11 && encodings.next().is_none() {
                true => Ok(Framing::Chunked),
                false => Err(AnswerError::TransferEncoding),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AnswerError::*;

    type Verdict = Result<(u16, Framing, bool), AnswerError>;

    fn verdict(method: &Method, head: &[u8]) -> Verdict {
        let end = end(head, 0)?.expect("an end");
        let head = read(&Bytes::copy_from_slice(&head[..end]), method)?;
        Ok((head.status.as_u16(), head.framing, head.persists))
    }

    #[test]
    fn status_lines() {
        let good = |status| Ok((status, Framing::Close, true));
        let rows: &[(&[u8], Verdict)] = &[
            (b"HTTP/1.1 200 OK", good(200)),
            (b"HTTP/1.1 200 ", good(200)),
            (b"HTTP/1.1 200", good(200)),
            (b"HTTP/1.1 299 \xe9\t!", good(299)),
            (b"HTTP/1.1 999 x", good(999)),
            (b"HTTP/1.0 200 OK", Ok((200, Framing::Close, false))),
            (b"HTTP/1.1 099 OK", Err(StatusLine)),
            (b"HTTP/1.1 20 OK", Err(StatusLine)),
            (b"HTTP/1.1 2000 OK", Err(StatusLine)),
            (b"HTTP/1.1 +20 OK", Err(StatusLine)),
            (b"HTTP/1.1  200 OK", Err(StatusLine)),
            (b"HTTP/1.1\t200 OK", Err(StatusLine)),
            (b" HTTP/1.1 200 OK", Err(StatusLine)),
            (b"HTTP/1.2 200 OK", Err(StatusLine)),
            (b"HTTP/2.0 200 OK", Err(StatusLine)),
            (b"http/1.1 200 OK", Err(StatusLine)),
            (b"ICY 200 OK", Err(StatusLine)),
            (b"HTTP/1.1 200 a\0b", Err(BadByte)),
            (b"HTTP/1.1 200 a\rb", Err(BadByte)),
            (b"HTTP/1.1 200 a\nb", Err(BadByte)),
            (b"\r\nHTTP/1.1 200 OK", Err(StatusLine)),
            (b"", Err(StatusLine)),
        ];
        for (line, expected) in rows {
            let head = [line, &b"\r\n\r\n"[..]].concat();
            assert_eq!(
                verdict(&Method::GET, &head),
                *expected,
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn framings() {
        use Framing::{Chunked, Close, Length};
        let get = Method::GET;
        let rows: &[(&Method, u16, &str, Result<Framing, AnswerError>)] = &[
            (&get, 200, "", Ok(Close)),
            (&get, 200, "content-length: 0\r\n", Ok(Length(0))),
            (&get, 200, "Content-Length:\t5 \r\n", Ok(Length(5))),
            (&get, 200, "transfer-encoding: Chunked\r\n", Ok(Chunked)),
            // No body, whatever the fields say, as long as they say it rightly.
            (&Method::HEAD, 200, "content-length: 5\r\n", Ok(Length(0))),
            (
                &Method::HEAD,
                200,
                "transfer-encoding: chunked\r\n",
                Ok(Length(0)),
            ),
            (&get, 204, "content-length: 5\r\n", Ok(Length(0))),
            (&get, 304, "transfer-encoding: chunked\r\n", Ok(Length(0))),
            (&get, 101, "content-length: 5\r\n", Ok(Length(0))),
            (&get, 103, "", Ok(Length(0))),
            (&get, 205, "content-length: 5\r\n", Ok(Length(5))),
            (
                &Method::HEAD,
                200,
                "content-length: x\r\n",
                Err(ContentLength),
            ),
            (
                &get,
                304,
                "content-length: 5\r\ntransfer-encoding: chunked\r\n",
                Err(TwoLengths),
            ),
            // Two readers, two lengths.
            (
                &get,
                200,
                "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
                Err(TwoLengths),
            ),
            (
                &get,
                200,
                "content-length: 5\r\nContent-Length: 5\r\n",
                Err(ContentLength),
            ),
            (&get, 200, "content-length: 5, 5\r\n", Err(ContentLength)),
            (&get, 200, "content-length: +5\r\n", Err(ContentLength)),
            (&get, 200, "content-length: -5\r\n", Err(ContentLength)),
            (&get, 200, "content-length: 05\r\n", Err(ContentLength)),
            (&get, 200, "content-length: 0x5\r\n", Err(ContentLength)),
            (&get, 200, "content-length: 5 5\r\n", Err(ContentLength)),
            (&get, 200, "content-length:\r\n", Err(ContentLength)),
            (
                &get,
                200,
                "content-length: 18446744073709551616\r\n",
                Err(ContentLength),
            ),
            (
                &get,
                200,
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                Err(TransferEncoding),
            ),
            (
                &get,
                200,
                "transfer-encoding: gzip, chunked\r\n",
                Err(TransferEncoding),
            ),
            (
                &get,
                200,
                "transfer-encoding: chunked, gzip\r\n",
                Err(TransferEncoding),
            ),
            (
                &get,
                200,
                "transfer-encoding: identity\r\n",
                Err(TransferEncoding),
            ),
            (
                &get,
                200,
                "transfer-encoding: xchunked\r\n",
                Err(TransferEncoding),
            ),
            (
                &get,
                200,
                "transfer-encoding: \u{b}chunked\r\n",
                Err(BadByte),
            ),
            (&get, 200, "transfer-encoding:\r\n", Err(TransferEncoding)),
            (&get, 200, "transfer-encoding : chunked\r\n", Err(Field)),
        ];
        for (method, status, fields, expected) in rows {
            let head = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
            let found = verdict(method, head.as_bytes()).map(|(_, framing, _)| framing);
            assert_eq!(found, *expected, "{method} {status} {fields:?}");
        }
        let old = b"HTTP/1.0 200 x\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(verdict(&get, old), Err(TransferEncoding));
    }

    #[test]
    fn fields() {
        let rows: &[(&[u8], Result<bool, AnswerError>)] = &[
            (b"connection: keep-alive, x\r\n", Ok(true)),
            (b"connection: x ,\tClose\r\n", Ok(false)),
            (b"connection: x\r\nconnection: close\r\n", Ok(false)),
            (b"connection: closed\r\n", Ok(true)),
            (b"x: \xff\r\n", Ok(true)),
            (b"x:\r\n", Ok(true)),
            (b"x: a\r\n b\r\n", Err(Folded)),
            (b"x: a\r\n\tb\r\n", Err(Folded)),
            (b" x: a\r\n", Err(Folded)),
            (b": a\r\n", Err(Field)),
            (b"no colon\r\n", Err(Field)),
            (b"x : a\r\n", Err(Field)),
            (b"x\xe9: a\r\n", Err(Field)),
            (b"x: a\0\r\n", Err(BadByte)),
            (b"x: a\x7f\r\n", Err(BadByte)),
            (b"x: a\rb\r\n", Err(BadByte)),
            (b"x: a\ny: b\r\n", Err(BadByte)),
        ];
        for (fields, expected) in rows {
            let head = [b"HTTP/1.1 200 OK\r\n", *fields, b"\r\n"].concat();
            let found = verdict(&Method::GET, &head).map(|(_, _, persists)| persists);
            assert_eq!(found, *expected, "{}", fields.escape_ascii());
        }
    }

    #[test]
    fn sizes() {
        let head = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(count));
        assert!(verdict(&Method::GET, head(MAX_FIELDS).as_bytes()).is_ok());
        let more = verdict(&Method::GET, head(MAX_FIELDS + 1).as_bytes());
        assert_eq!(more, Err(TooManyFields));
        let long = format!("HTTP/1.1 200 {}", "x".repeat(MAX_BYTES));
        assert_eq!(end(long.as_bytes(), 0), Err(TooLarge));
        assert_eq!(end(&long.as_bytes()[..MAX_BYTES], 0), Ok(None));
        let ended = format!("{long}\r\n\r\n");
        assert_eq!(
            end(ended.as_bytes(), 0),
            Err(TooLarge),
            "however it arrives"
        );
    }

    #[test]
    fn what_is_no_answer_is_seen_at_once() {
        for (bytes, expected) in [
            (&b""[..], Ok(None)),
            (b"HTTP", Ok(None)),
            (b"HTTP/1.1 200", Ok(None)),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Err(StatusLine)),
            (b"h", Err(StatusLine)),
            (b"\x16\x03\x01", Err(StatusLine)),
        ] {
            assert_eq!(end(bytes, 0), expected, "{}", bytes.escape_ascii());
        }
    }
}
