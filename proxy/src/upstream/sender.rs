//! An open connection to an origin, whichever HTTP it speaks.

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};

use super::body::RequestBody;

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
    Http1(http1::SendRequest<RequestBody>),
    /// To a parent proxy, which wants the absolute form and may want to know who we are.
    Parent(http1::SendRequest<RequestBody>, Option<HeaderValue>),
    Http2(http2::SendRequest<RequestBody>),
}

impl Sender {
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) | Self::Parent(sender, _) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Waits until a request can be sent.
    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) | Self::Parent(sender, _) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    /// Sends `request`, put into the form this connection's protocol has for it.
    pub(crate) async fn send(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => {
                to_http1(&mut request);
                sender.try_send_request(request).await
            }
            Self::Parent(sender, authorization) => {
                to_http1(&mut request);
                to_parent(&mut request, authorization.as_ref());
                sender.try_send_request(request).await
            }
            Self::Http2(sender) => {
                to_http2(&mut request);
                sender.try_send_request(request).await
            }
        }
    }
}

/// Origin form, `Host`, one `Cookie` (RFC 9113 §8.2.3), no `TE`.
fn to_http1<B>(request: &mut Request<B>) {
    if let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(header::HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().remove(header::TE);
    join_cookies(request.headers_mut());
}

/// Absolute form (RFC 9112 §3.2.2), with our own credentials for the parent.
fn to_parent<B>(request: &mut Request<B>, authorization: Option<&HeaderValue>) {
    let host = request.headers().get(header::HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if let Some(authority) = authority {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(authority);
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
    if let Some(authorization) = authorization {
        let fields = request.headers_mut();
        fields.insert(header::PROXY_AUTHORIZATION, authorization.clone());
    }
}

/// `:scheme`, `:authority` and `:path` instead of `Host` and origin form.
fn to_http2<B>(request: &mut Request<B>) {
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

fn join_cookies(fields: &mut HeaderMap) {
    let crumbs: Vec<_> = fields
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        fields.insert(header::COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut request = Request::get("/a?b")
            .header("host", "x.example:8443")
            .header("te", "trailers")
            .body(())
            .unwrap();
        request
            .headers_mut()
            .append("cookie", HeaderValue::from_static("a=1"));
        request
            .headers_mut()
            .append("cookie", HeaderValue::from_static("b=2"));
        to_http2(&mut request);
        assert_eq!(request.uri(), "https://x.example:8443/a?b");
        assert!(!request.headers().contains_key("host"));
        assert_eq!(request.headers()["te"], "trailers");
        to_http1(&mut request);
        assert_eq!(request.uri(), "/a?b");
        assert_eq!(request.headers()["host"], "x.example:8443");
        assert_eq!(request.headers()["cookie"], "a=1; b=2");
        assert!(!request.headers().contains_key("te"));
    }
}
