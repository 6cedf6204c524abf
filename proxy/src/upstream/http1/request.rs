//! A request's head as bytes, put together from typed fields.

use bytes::{BufMut as _, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;

use crate::http1::sending::Length;
use crate::http1::write::{content_length, field, put};

/// What the other end of a connection is, and so what form a request target has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// The origin (RFC 9112 §3.2.1).
    Origin,
    /// A parent proxy, which wants the absolute form (§3.2.2) and may want to know who we are.
    Absolute(Option<HeaderValue>),
}

/// The head of a request.
pub(super) fn head(parts: &Parts, form: &Form, length: Length) -> BytesMut {
    let mut out = BytesMut::with_capacity(512);
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let host = parts.headers.get(header::HOST);
    let host = host.map(HeaderValue::as_bytes).unwrap_or_default();
    put(&mut out, &[parts.method.as_str().as_bytes(), b" "]);
    match (form, path) {
        (Form::Origin, path) => out.put_slice(path.as_bytes()),
        // RFC 9112 §3.2.4: the last proxy makes a `*` of it.
        (Form::Absolute(_), "*") => put(&mut out, &[b"http://", host]),
        (Form::Absolute(_), path) => put(&mut out, &[b"http://", host, path.as_bytes()]),
    }
    put(&mut out, &[b" HTTP/1.1\r\nhost: ", host, b"\r\n"]);
    fields(&mut out, &parts.headers, length);
    if let Form::Absolute(Some(authorization)) = form {
        field(&mut out, &header::PROXY_AUTHORIZATION, authorization);
    }
    match length {
        Length::None | Length::Close => {}
        Length::Exact(length) => content_length(&mut out, length),
        Length::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
    }
    out.put_slice(b"\r\n");
    out
}

/// All that is not written elsewhere. Several `Cookie` fields, as HTTP/2 has them, become one (RFC 9113 §8.2.3).
fn fields(out: &mut BytesMut, fields: &HeaderMap, length: Length) {
    let mut cookies = fields.get_all(header::COOKIE).iter();
    let joined = cookies.next().is_some() && cookies.next().is_some();
    for (name, value) in fields {
        let elsewhere = name == header::HOST
            || name == header::TE
            || name == header::TRANSFER_ENCODING
            || (name == header::CONTENT_LENGTH && (length != Length::None || value != "0"))
            || (name == header::COOKIE && joined);
        if !elsewhere {
            field(out, name, value);
        }
    }
    if joined {
        out.put_slice(b"cookie: ");
        for (number, crumb) in fields.get_all(header::COOKIE).iter().enumerate() {
            let between: &[u8] = if number > 0 { b"; " } else { b"" };
            put(out, &[between, crumb.as_bytes()]);
        }
        out.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn heads() {
        let parent = Form::Absolute(Some(HeaderValue::from_static("Basic us")));
        let bare = Form::Absolute(None);
        type Row<'a> = (&'a Form, &'a str, &'a [(&'a str, &'a str)], Length, &'a str);
        let rows: &[Row<'_>] = &[
            (
                &Form::Origin,
                "/a?b",
                &[],
                Length::None,
                "GET /a?b HTTP/1.1\r\nhost: x:1\r\n\r\n",
            ),
            (
                &Form::Origin,
                "*",
                &[],
                Length::None,
                "GET * HTTP/1.1\r\nhost: x:1\r\n\r\n",
            ),
            (
                &bare,
                "*",
                &[],
                Length::None,
                "GET http://x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n",
            ),
            (
                &parent,
                "/a",
                &[("accept", "b")],
                Length::None,
                "GET http://x:1/a HTTP/1.1\r\nhost: x:1\r\naccept: b\r\nproxy-authorization: Basic us\r\n\r\n",
            ),
            (
                &Form::Origin,
                "/",
                &[
                    ("te", "trailers"),
                    ("cookie", "a=1"),
                    ("cookie", "b=2"),
                    ("transfer-encoding", "gzip"),
                ],
                Length::Chunked,
                "GET / HTTP/1.1\r\nhost: x:1\r\ncookie: a=1; b=2\r\ntransfer-encoding: chunked\r\n\r\n",
            ),
            (
                &Form::Origin,
                "/",
                &[("cookie", "a=1"), ("content-length", "0")],
                Length::None,
                "GET / HTTP/1.1\r\nhost: x:1\r\ncookie: a=1\r\ncontent-length: 0\r\n\r\n",
            ),
            (
                &Form::Origin,
                "/",
                &[("content-length", "9")],
                Length::None,
                "GET / HTTP/1.1\r\nhost: x:1\r\n\r\n",
            ),
            (
                &Form::Origin,
                "/",
                &[("content-length", "9"), ("content-length", "8")],
                Length::Exact(7),
                "GET / HTTP/1.1\r\nhost: x:1\r\ncontent-length: 7\r\n\r\n",
            ),
        ];
        for (form, path, fields, length, expected) in rows {
            let request = Request::get(*path).header("host", "x:1");
            let request = fields.iter().fold(request, |request, (name, value)| {
                request.header(*name, *value)
            });
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let written = head(&parts, form, *length);
            assert_eq!(str::from_utf8(&written).unwrap(), *expected);
        }
    }
}
