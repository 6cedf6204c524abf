//! One request head, checked byte by byte (RFC 9112 §2–§6). What is ambiguous is refused, never repaired.

use std::str;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use memchr::memchr;

use super::decode::Framing;
use super::fields::{BadField, Lines, MAX_FIELDS, connection_has, fields, trim};

/// Longest head, request line and all fields.
pub(crate) const MAX_BYTES: usize = 32 * 1024;

/// A head that passed.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    /// `/` for `CONNECT`: whoever opens the tunnel reads its target.
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Framing,
    /// Whether the client means to ask again on the same connection.
    pub(crate) persists: bool,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("request head is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("request has more than {MAX_FIELDS} header fields")]
    TooManyFields,
    #[error("line end is not CR LF, or a control character is in the head")]
    BadByte,
    #[error("request line is malformed")]
    RequestLine,
    #[error("method is not a token")]
    Method,
    #[error("method `TRACE` is refused because it reflects credentials")]
    Trace,
    #[error("request target is malformed")]
    RequestTarget,
    #[error("HTTP version is not 1.0 or 1.1")]
    Version,
    #[error("header field is malformed")]
    Field,
    #[error("header field is folded over two lines")]
    Folded,
    #[error("`Host` must be present once and name a host")]
    Host,
    #[error("`Content-Length` must be one plain decimal number")]
    ContentLength,
    #[error("`Transfer-Encoding` must be exactly `chunked`, once, in HTTP/1.1")]
    TransferEncoding,
    #[error("`Content-Length` and `Transfer-Encoding` are both present")]
    TwoLengths,
    #[error("`Connection` names a field that must reach the server")]
    Connection,
    #[error("`CONNECT` must be the first request on its connection")]
    LateConnect,
}

impl Head {
    /// Whether the client waits to be asked for the body (RFC 9110 §10.1.1).
    pub(crate) fn expects(&self) -> bool {
        let expected = self.fields.get(header::EXPECT);
        self.version == Version::HTTP_11
            && expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    }
}

impl From<BadField> for HeadError {
    fn from(error: BadField) -> Self {
        match error {
            BadField::TooMany => Self::TooManyFields,
            BadField::Folded => Self::Folded,
            BadField::Malformed => Self::Field,
            BadField::BadByte => Self::BadByte,
        }
    }
}

/// Where the head in `bytes` ends, if it does. `from` is how far an earlier call has looked; more than `most` bytes are
/// an error.
///
/// A line feed without its carriage return is an error at once: the sender might never send an empty line we accept.
pub(crate) fn end(bytes: &[u8], from: usize, most: usize) -> Result<Option<usize>, HeadError> {
    let mut at = from.saturating_sub(3);
    while let Some(offset) = bytes.get(at..).and_then(|rest| memchr(b'\n', rest)) {
        let feed = at + offset;
        let line = bytes.get(..feed).unwrap_or_default();
        if line.last() != Some(&b'\r') {
            return Err(HeadError::BadByte);
        }
        if line.ends_with(b"\r\n\r") {
            // However it arrives.
            return match feed < most {
                true => Ok(Some(feed + 1)),
                false => Err(HeadError::TooLarge),
            };
        }
        at = feed + 1;
    }
    match bytes.len() > most {
        true => Err(HeadError::TooLarge),
        false => Ok(None),
    }
}

/// Reads one whole head, its final empty line included.
pub(crate) fn read(head: &Bytes) -> Result<Head, HeadError> {
    let text = head
        .strip_suffix(b"\r\n\r\n")
        .ok_or(HeadError::RequestLine)?;
    let mut lines = Lines::new(text);
    let line = lines.next().ok_or(HeadError::RequestLine)?;
    let (method, uri, version) = request_line(head, line)?;
    let mut said = Said::new(version);
    let fields = fields(head, lines, |name, value| said.add(name, value.as_bytes()))?;
    Ok(Head {
        method,
        uri,
        version,
        body: said.framing()?,
        persists: persists(version, &fields),
        fields,
    })
}

fn persists(version: Version, fields: &HeaderMap) -> bool {
    !connection_has(fields, "close")
        && (version == Version::HTTP_11 || connection_has(fields, "keep-alive"))
}

fn request_line(head: &Bytes, line: &[u8]) -> Result<(Method, Uri, Version), HeadError> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadError::RequestLine);
    };
    let version = match version {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        _ => return Err(HeadError::Version),
    };
    // It takes tokens (RFC 9110 §5.6.2).
    let method = Method::from_bytes(method).map_err(|_| HeadError::Method)?;
    if !is_target(target) {
        return Err(HeadError::RequestTarget);
    }
    let uri = match method.as_str() {
        "CONNECT" if target.contains(&b'/') || target.contains(&b'?') => {
            return Err(HeadError::RequestTarget);
        }
        "CONNECT" => Uri::default(),
        "TRACE" | "TRACK" => return Err(HeadError::Trace),
        asking => Uri::from_maybe_shared(head.slice_ref(target))
            .ok()
            // A URI may also be `host:port`, which is for `CONNECT` only (RFC 9112 §3.2.3), and `*`.
            .filter(|uri| {
                target.starts_with(b"/")
                    || uri.scheme().is_some()
                    || (asking == "OPTIONS" && target == b"*")
            })
            .and_then(rooted)
            .ok_or(HeadError::RequestTarget)?,
    };
    Ok((method, uri, version))
}

/// The same with `/` for a path that is left out before a query (RFC 9112 §3.2.1).
fn rooted(uri: Uri) -> Option<Uri> {
    let Some(bare) = uri.path_and_query().map(PathAndQuery::as_str) else {
        return Some(uri);
    };
    if !bare.starts_with('?') {
        return Some(uri);
    }
    let path = PathAndQuery::try_from(["/", bare].concat()).ok()?;
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

/// What cannot be in a request target or path, in any version of HTTP: a fragment, and bytes that some readers take for
/// other ones.
pub(crate) fn is_target(target: &[u8]) -> bool {
    !target.is_empty()
        && target.iter().all(|byte| {
            matches!(byte, 0x21..=0x7e) && !matches!(byte, b'#' | b'\\' | b'<' | b'>' | b'"')
        })
}

/// What the fields say about framing and destination.
struct Said {
    version: Version,
    host: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Said {
    fn new(version: Version) -> Self {
        Self {
            version,
            host: false,
            length: None,
            chunked: false,
        }
    }

    fn add(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), HeadError> {
        if name == header::HOST {
            if self.host || !is_authority(value) {
                return Err(HeadError::Host);
            }
            self.host = true;
        } else if name == header::CONTENT_LENGTH {
            let length = decimal(value).filter(|_| self.length.is_none());
            self.length = Some(length.ok_or(HeadError::ContentLength)?);
        } else if name == header::TRANSFER_ENCODING {
            if self.chunked
                || self.version == Version::HTTP_10
                || !value.eq_ignore_ascii_case(b"chunked")
            {
                return Err(HeadError::TransferEncoding);
            }
            self.chunked = true;
        } else if name == header::CONNECTION {
            connection(value)?;
        }
        Ok(())
    }

    fn framing(&self) -> Result<Framing, HeadError> {
        match (self.length, self.chunked) {
            _ if !self.host && self.version == Version::HTTP_11 => Err(HeadError::Host),
            (Some(_), true) => Err(HeadError::TwoLengths),
            (None, true) => Ok(Framing::Chunked),
            (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

/// A client may not have the proxy drop fields that frame, route or authenticate (Akamai CVE-2026-26365).
fn connection(value: &[u8]) -> Result<(), HeadError> {
    const KEPT: [&str; 8] = [
        "host",
        "content-length",
        "transfer-encoding",
        "authorization",
        "cookie",
        "x-api-key",
        "x-goog-api-key",
        "api-key",
    ];
    let mut options = value.split(|&byte| byte == b',').map(trim);
    match options.any(|option| {
        KEPT.iter()
            .any(|kept| option.eq_ignore_ascii_case(kept.as_bytes()))
    }) {
        true => Err(HeadError::Connection),
        false => Ok(()),
    }
}

/// The bytes of `host[:port]` and nothing else; what they mean is [`policy_lang::Target`]'s business.
fn is_authority(value: &[u8]) -> bool {
    !value.is_empty()
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte))
}

/// A number without sign, space, leading zero or overflow.
pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    let plain =
        value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || value.first() != Some(&b'0'));
    str::from_utf8(value).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(head: &str) -> Result<Head, HeadError> {
        match end(head.as_bytes(), 0, MAX_BYTES)? {
            Some(end) => read(&Bytes::copy_from_slice(&head.as_bytes()[..end])),
            None => panic!("no end: {head:?}"),
        }
    }

    fn with(fields: &str) -> Result<Framing, HeadError> {
        verdict(&format!(
            "POST http://a/ HTTP/1.1\r\nHost: a\r\n{fields}\r\n"
        ))
        .map(|head| head.body)
    }

    /// RFC 9112 §3.2.1
    #[test]
    fn a_path_that_is_left_out_is_the_root() {
        let rows = [
            ("http://a", "/"),
            ("http://a/", "/"),
            ("http://a?x=/1", "/?x=/1"),
            ("http://a:80?", "/?"),
            ("http://a/?x", "/?x"),
            ("/?x", "/?x"),
        ];
        for (target, sent) in rows {
            let head = verdict(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
            let path = head.uri.path_and_query().unwrap();
            assert_eq!(path.as_str(), sent, "{target}");
        }
    }

    #[test]
    fn framing() {
        use HeadError::*;
        let rows: &[(&str, Result<Framing, HeadError>)] = &[
            ("", Ok(Framing::Length(0))),
            ("Content-Length: 0\r\n", Ok(Framing::Length(0))),
            ("Content-Length: 12 \r\n", Ok(Framing::Length(12))),
            ("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding:\tChunked\r\n", Ok(Framing::Chunked)),
            (
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                Err(TwoLengths),
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                Err(TwoLengths),
            ),
            (
                "Content-Length: 3\r\nContent-Length: 3\r\n",
                Err(ContentLength),
            ),
            (
                "Content-Length: 3\r\nContent-Length: 4\r\n",
                Err(ContentLength),
            ),
            ("Content-Length: +1\r\n", Err(ContentLength)),
            ("Content-Length: -1\r\n", Err(ContentLength)),
            ("Content-Length: 0x10\r\n", Err(ContentLength)),
            ("Content-Length: 010\r\n", Err(ContentLength)),
            ("Content-Length: 1_0\r\n", Err(ContentLength)),
            ("Content-Length:\r\n", Err(ContentLength)),
            ("Content-Length: 1,1\r\n", Err(ContentLength)),
            ("Content-Length: 1 1\r\n", Err(ContentLength)),
            (
                "Content-Length: 18446744073709551616\r\n",
                Err(ContentLength),
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Err(TransferEncoding),
            ),
            ("Transfer-Encoding: ,chunked\r\n", Err(TransferEncoding)),
            ("Transfer-Encoding: chunked,\r\n", Err(TransferEncoding)),
            ("Transfer-Encoding: chunked;x\r\n", Err(TransferEncoding)),
            ("Transfer-Encoding: xchunked\r\n", Err(TransferEncoding)),
            (
                "Transfer-Encoding: \u{a0}chunked\r\n",
                Err(TransferEncoding),
            ),
            ("Transfer-Encoding: identity\r\n", Err(TransferEncoding)),
            (
                "Transfer-Encoding: gzip, chunked\r\n",
                Err(TransferEncoding),
            ),
            ("Transfer-Encoding : chunked\r\n", Err(Field)),
        ];
        for (fields, expected) in rows {
            assert_eq!(with(fields), *expected, "{fields:?}");
        }
    }

    #[test]
    fn fields() {
        use HeadError::*;
        let rows: &[(&str, Result<Framing, HeadError>)] = &[
            ("X: \u{e9}\r\n", Ok(Framing::Length(0))),
            ("X: a\r\n b\r\n", Err(Folded)),
            ("X: a\r\n\tb\r\n", Err(Folded)),
            (": x\r\n", Err(Field)),
            ("X y: z\r\n", Err(Field)),
            ("X\u{e9}: z\r\n", Err(Field)),
            ("no colon\r\n", Err(Field)),
            ("X: a\0b\r\n", Err(BadByte)),
            ("X: a\rb\r\n", Err(BadByte)),
            ("X: a\nY: b\r\n", Err(BadByte)),
            ("Host: b\r\n", Err(Host)),
            (
                "Connection: keep-alive, X-Foo, Upgrade\r\n",
                Ok(Framing::Length(0)),
            ),
            ("Connection: close, Transfer-Encoding\r\n", Err(Connection)),
            ("Connection: host\r\n", Err(Connection)),
            ("Connection: Content-Length\r\n", Err(Connection)),
            ("Connection: x , authorization\r\n", Err(Connection)),
            ("Connection: X-API-Key\r\n", Err(Connection)),
        ];
        for (fields, expected) in rows {
            assert_eq!(with(fields), *expected, "{fields:?}");
        }
    }

    #[test]
    fn hosts() {
        let rows = [
            ("Host: a\r\n", true),
            ("Host: a.example:80\r\n", true),
            ("Host: [::1]:80\r\n", true),
            ("", false),
            ("Host:\r\n", false),
            ("Host: a, b\r\n", false),
            ("Host: u@a\r\n", false),
            ("Host: a/b\r\n", false),
            ("Host: a b\r\n", false),
            ("Host: a\r\nhost: a\r\n", false),
        ];
        for (fields, good) in rows {
            let result = verdict(&format!("GET http://a/ HTTP/1.1\r\n{fields}\r\n"));
            assert_eq!(result.is_ok(), good, "{fields:?} {result:?}");
        }
        assert!(
            verdict("GET http://a/ HTTP/1.0\r\n\r\n").is_ok(),
            "1.0 knows no Host"
        );
    }

    #[test]
    fn request_lines() {
        use HeadError::{RequestLine, RequestTarget, Trace, Version};
        let rows: &[(&str, Result<&str, HeadError>)] = &[
            ("GET http://a/?q=|x HTTP/1.1", Ok("other")),
            ("M-SEARCH http://a/ HTTP/1.1", Ok("other")),
            ("CONNECT a:443 HTTP/1.1", Ok("connect")),
            ("OPTIONS * HTTP/1.1", Ok("other")),
            ("CONNECT /a HTTP/1.1", Err(RequestTarget)),
            ("CONNECT http://a:443 HTTP/1.1", Err(RequestTarget)),
            ("GET * HTTP/1.1", Err(RequestTarget)),
            ("GET a:443 HTTP/1.1", Err(RequestTarget)),
            ("GET a HTTP/1.1", Err(RequestTarget)),
            ("OPTIONS */x HTTP/1.1", Err(RequestTarget)),
            ("GET /#x HTTP/1.1", Err(RequestTarget)),
            ("GET file:///etc/passwd HTTP/1.1", Err(RequestTarget)),
            ("GET /\\x HTTP/1.1", Err(RequestTarget)),
            ("GET /\u{e9} HTTP/1.1", Err(RequestTarget)),
            ("GET  HTTP/1.1", Err(RequestTarget)),
            ("GET / x HTTP/1.1", Err(RequestLine)),
            ("GET /", Err(RequestLine)),
            ("GET\t/\tHTTP/1.1", Err(RequestLine)),
            ("G(T / HTTP/1.1", Err(HeadError::Method)),
            ("TRACE http://a/ HTTP/1.1", Err(Trace)),
            ("TRACK http://a/ HTTP/1.1", Err(Trace)),
            ("GET / HTTP/1.2", Err(Version)),
            ("GET / HTTP/2.0", Err(Version)),
            ("GET / http/1.1", Err(Version)),
            ("", Err(RequestLine)),
        ];
        for (line, expected) in rows {
            let result = verdict(&format!("{line}\r\nHost: a\r\n\r\n"));
            let result = result.map(|head| match head.method {
                Method::CONNECT => "connect",
                _ => "other",
            });
            assert_eq!(result, *expected, "{line:?}");
        }
    }

    #[test]
    fn sizes() {
        let fields = |count| "X: y\r\n".repeat(count);
        assert!(with(&fields(MAX_FIELDS - 1)).is_ok());
        assert_eq!(with(&fields(MAX_FIELDS)), Err(HeadError::TooManyFields));
        let endless = vec![b'x'; MAX_BYTES + 1];
        assert_eq!(end(&endless, 0, MAX_BYTES), Err(HeadError::TooLarge));
        assert_eq!(end(&endless[..MAX_BYTES], 0, MAX_BYTES), Ok(None));
    }

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for cut in 0..head.len() - 4 {
            let first = end(&head[..cut], 0, MAX_BYTES).unwrap();
            assert_eq!(
                first.or_else(|| end(head, cut, MAX_BYTES).unwrap()),
                Some(head.len() - 4),
                "{cut}"
            );
        }
        assert_eq!(
            end(b"GET / HTTP/1.1\n", 0, MAX_BYTES),
            Err(HeadError::BadByte)
        );
        assert_eq!(
            end(b"GET / HTTP/1.1\r\n\n", 0, MAX_BYTES),
            Err(HeadError::BadByte)
        );
    }
}
