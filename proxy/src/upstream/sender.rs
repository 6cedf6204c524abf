//! An open connection to an origin, whichever HTTP it speaks.

use http::header;
use http::uri::{Authority, Scheme};
use http::{Request, Uri, Version};
use hyper::client::conn::http2;

use super::body::RequestBody;
use super::http1::Wire;

/// The two protocols inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// Its name in ALPN (RFC 7301).
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    /// What a handshake settled on. Without ALPN it is HTTP/1.1.
    pub(crate) fn negotiated(alpn: Option<&[u8]>) -> Self {
        match alpn {
            Some(b"h2") => Self::Http2,
            _ => Self::Http1,
        }
    }
}

/// The sending half of a connection.
#[derive(Debug)]
pub(crate) enum Sender {
    Http1(Wire),
    Http2(http2::SendRequest<RequestBody>),
}

/// `:scheme`, `:authority` and `:path` instead of `Host` and origin form.
pub(super) fn to_http2<B>(request: &mut Request<B>) {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers_mut().remove(header::HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if let Some(authority) = authority {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(authority);
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudo_fields() {
        let request = Request::get("/a?b").header("host", "x.example:8443");
        let mut request = request.header("te", "trailers").body(()).unwrap();
        to_http2(&mut request);
        assert_eq!(request.uri(), "https://x.example:8443/a?b");
        assert!(!request.headers().contains_key("host"));
        assert_eq!(request.headers()["te"], "trailers");
    }
}
