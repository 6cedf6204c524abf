//! The head of an answer as bytes, put together from typed fields.

use bytes::{BufMut as _, BytesMut};
use http::header::{self, HeaderMap};
use http::response::Parts;
use http::{Method, StatusCode, Version};
use hyper::body::SizeHint;

use super::date;
use crate::headers::wants_trailers;
use crate::http1::decode::is_bodiless;
use crate::http1::fields::connection_has;
use crate::http1::head::Head;
use crate::http1::sending::Length;
use crate::http1::write::{content_length, field, put};

/// What an answer has to know of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) is_head: bool,
    /// Whether the connection can carry another request.
    pub(super) persists: bool,
    /// Whether the client wants trailers (RFC 9110 §6.5.1).
    pub(super) trailers: bool,
}

impl Asked {
    /// Behind what was no request nothing is read.
    pub(super) const NOTHING: Self = Self {
        version: Version::HTTP_11,
        is_head: false,
        persists: false,
        trailers: false,
    };

    pub(super) fn new(head: &Head) -> Self {
        Self {
            version: head.version,
            is_head: head.method == Method::HEAD,
            persists: head.persists,
            trailers: wants_trailers(&head.fields),
        }
    }
}

/// How the client will find the end of the body.
pub(super) fn length(asked: Asked, status: StatusCode, body: &SizeHint) -> Length {
    match body.exact() {
        _ if is_bodiless(asked.is_head, status) => Length::None,
        Some(length) => Length::Exact(length),
        None if asked.version == Version::HTTP_10 => Length::Close,
        None => Length::Chunked,
    }
}

/// Whether the connection goes on behind this answer.
pub(super) fn persists(asked: Asked, fields: &HeaderMap, length: Length) -> bool {
    asked.persists && length != Length::Close && !connection_has(fields, "close")
}

/// The head of an answer. `body` is what its body would be, if there were one.
pub(super) fn head(
    parts: &Parts,
    asked: Asked,
    length: Length,
    body: &SizeHint,
    persists: bool,
) -> BytesMut {
    let mut out = BytesMut::with_capacity(512);
    status_line(&mut out, asked.version, parts.status);
    let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in &parts.headers {
        let elsewhere = name == header::CONTENT_LENGTH
            || name == header::TRANSFER_ENCODING
            || (name == header::CONNECTION && !switches);
        if !elsewhere {
            field(&mut out, name, value);
        }
    }
    match length {
        Length::None => hypothetical(&mut out, parts, asked, body),
        Length::Exact(length) => content_length(&mut out, length),
        Length::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        Length::Close => {}
    }
    match (persists, asked.version) {
        _ if switches => {}
        (true, Version::HTTP_10) => out.put_slice(b"connection: keep-alive\r\n"),
        (true, _) => {}
        (false, _) => out.put_slice(b"connection: close\r\n"),
    }
    if !parts.headers.contains_key(header::DATE)
        && let Some(date) = date::now()
    {
        field(&mut out, &header::DATE, &date);
    }
    out.put_slice(b"\r\n");
    out
}

/// The length that an answer to `GET` would have (RFC 9110 §8.6): that of the fields, or of the page not sent.
fn hypothetical(out: &mut BytesMut, parts: &Parts, asked: Asked, body: &SizeHint) {
    let said = parts.headers.get(header::CONTENT_LENGTH);
    match (parts.status, said, body.exact()) {
        (status, ..) if status.is_informational() || status == StatusCode::NO_CONTENT => {}
        (_, Some(said), _) => field(out, &header::CONTENT_LENGTH, said),
        (_, None, Some(length @ 1..)) if asked.is_head => content_length(out, length),
        _ => {}
    }
}

fn status_line(out: &mut BytesMut, version: Version, status: StatusCode) {
    let version: &[u8] = match version {
        Version::HTTP_10 => b"HTTP/1.0 ",
        _ => b"HTTP/1.1 ",
    };
    let phrase = status.canonical_reason().unwrap_or_default();
    put(
        out,
        &[
            version,
            status.as_str().as_bytes(),
            b" ",
            phrase.as_bytes(),
            b"\r\n",
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    const GET: Asked = Asked {
        version: Version::HTTP_11,
        is_head: false,
        persists: true,
        trailers: false,
    };
    const HEAD: Asked = Asked {
        is_head: true,
        ..GET
    };
    const OLD: Asked = Asked {
        version: Version::HTTP_10,
        ..GET
    };
    const LAST: Asked = Asked {
        persists: false,
        ..GET
    };

    #[test]
    fn heads() {
        let exact = SizeHint::with_exact;
        let unknown = SizeHint::default();
        type Row<'a> = (Asked, u16, &'a [(&'a str, &'a str)], SizeHint, &'a str);
        let rows: &[Row<'_>] = &[
            (
                GET,
                200,
                &[("etag", "e"), ("connection", "x")],
                exact(5),
                "HTTP/1.1 200 OK\r\netag: e\r\ncontent-length: 5\r\n",
            ),
            (
                GET,
                200,
                &[("content-length", "7")],
                exact(0),
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
            ),
            (
                GET,
                200,
                &[("transfer-encoding", "gzip"), ("content-length", "7")],
                unknown,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n",
            ),
            (
                GET,
                400,
                &[("connection", "close")],
                exact(1),
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 1\r\nconnection: close\r\n",
            ),
            (
                LAST,
                299,
                &[],
                exact(1),
                "HTTP/1.1 299 \r\ncontent-length: 1\r\nconnection: close\r\n",
            ),
            (
                OLD,
                200,
                &[],
                exact(1),
                "HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n",
            ),
            (
                OLD,
                200,
                &[],
                unknown,
                "HTTP/1.0 200 OK\r\nconnection: close\r\n",
            ),
            (
                HEAD,
                200,
                &[("content-length", "7")],
                exact(0),
                "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n",
            ),
            (
                HEAD,
                403,
                &[],
                exact(9),
                "HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n",
            ),
            (HEAD, 200, &[], unknown, "HTTP/1.1 200 OK\r\n"),
            (
                GET,
                304,
                &[("content-length", "7")],
                exact(0),
                "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n",
            ),
            (
                GET,
                204,
                &[("content-length", "7")],
                exact(0),
                "HTTP/1.1 204 No Content\r\n",
            ),
            (
                GET,
                101,
                &[("connection", "upgrade"), ("upgrade", "websocket")],
                exact(0),
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
            ),
        ];
        for (asked, status, fields, body, expected) in rows {
            let answer = Response::builder().status(*status).header("date", "d");
            let answer = fields
                .iter()
                .fold(answer, |answer, (name, value)| answer.header(*name, *value));
            let (parts, ()) = answer.body(()).unwrap().into_parts();
            let length = length(*asked, parts.status, body);
            let goes_on = persists(*asked, &parts.headers, length);
            let written = head(&parts, *asked, length, body, goes_on);
            let written = String::from_utf8(written.to_vec()).unwrap();
            assert_eq!(
                written.replacen("date: d\r\n", "", 1),
                format!("{expected}\r\n"),
                "{asked:?}"
            );
        }
    }

    #[test]
    fn answers_have_a_date() {
        let (parts, ()) = Response::new(()).into_parts();
        let head = head(&parts, GET, Length::None, &SizeHint::default(), true);
        let head = String::from_utf8(head.to_vec()).unwrap();
        let date = head
            .lines()
            .find_map(|line| line.strip_prefix("date: "))
            .unwrap();
        assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
    }
}
