//! Which header fields cross the proxy. Messages are rebuilt from typed fields; nothing is copied as bytes.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::credentials::is_credential;

/// Fields that belong to one connection and never cross (RFC 9110 §7.6.1, and what practice adds).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authorization"
            | "proxy-authenticate"
            | "proxy-connection"
            | "keep-alive"
            | "http2-settings"
            | "proxy-authentication-info"
            | "proxy-status"
    )
}

/// An origin must not send clients around the proxy (RFC 7838), nor speak with the proxy's own voice.
fn leads_astray(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "alt-svc" | "alternate-protocol" | "x-sandbox-reason"
    )
}

/// Trailer fields that cross: end-to-end metadata that frames, routes and authenticates nothing (RFC 9110 §6.5.1).
fn trailer_crosses(name: &HeaderName) -> bool {
    const NAMES: [&str; 7] = [
        "digest",
        "content-digest",
        "repr-digest",
        "content-md5",
        "etag",
        "server-timing",
        "expires",
    ];
    NAMES.contains(&name.as_str())
        || name.as_str().starts_with("grpc-")
        || (name.as_str().starts_with("x-") && !is_credential(name))
}

/// gRPC servers put metadata of their own into trailers, so there only what could do harm stays behind.
fn metadata_crosses(name: &HeaderName) -> bool {
    const HARM: [HeaderName; 5] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::SET_COOKIE,
    ];
    !is_hop_by_hop(name) && !HARM.contains(name) && !is_credential(name)
}

/// Which trailers a message may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trailers {
    /// Fields of a fixed list.
    Listed,
    /// Any metadata: the message is gRPC.
    Metadata,
}

impl Trailers {
    /// By the fields of the message's head.
    pub(crate) fn of(fields: &HeaderMap) -> Self {
        match is_grpc(fields) {
            true => Self::Metadata,
            false => Self::Listed,
        }
    }
}

/// Whether a message is gRPC.
pub(crate) fn is_grpc(fields: &HeaderMap) -> bool {
    let kind = fields.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// The request's fields as the origin gets them: hop-by-hop fields gone, `host` in place of what the client said.
pub(crate) fn request(fields: &mut HeaderMap, host: HeaderValue) {
    let wants_trailers = wants_trailers(fields);
    remove(fields, |name| name == header::EXPECT || is_hop_by_hop(name));
    fields.insert(header::HOST, host);
    if wants_trailers {
        // The only value that crosses (RFC 9113 §8.2.2); a connection that speaks HTTP/1 drops it.
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// By these some servers take a request for one with another method or path than the one that was judged.
const OVERRIDES: [&str; 5] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Takes out what would make the request another one than rules about requests have judged.
pub(crate) fn remove_overrides(fields: &mut HeaderMap) {
    // To a CGI program `_` and `-` are the same (RFC 3875 §4.1.18).
    remove(fields, |name| {
        let name = name.as_str().replace('_', "-");
        OVERRIDES.contains(&&*name)
    });
}

/// Whether who sent these fields takes trailers (RFC 9110 §10.1.4).
pub(crate) fn wants_trailers(fields: &HeaderMap) -> bool {
    let mut tokens = fields.get_all(header::TE).iter().flat_map(tokens);
    tokens.any(|token| token == "trailers")
}

/// The answer's fields as the client gets them.
pub(crate) fn answer(fields: &mut HeaderMap) {
    remove(fields, |name| {
        is_hop_by_hop(name) || leads_astray(name) || name == header::TRAILER
    });
}

/// Takes out what `Connection` names, and what is to go in any case. COST: in place, because most messages lose one field
/// or none; the order of different fields means nothing (RFC 9110 §5.3).
fn remove(fields: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    let mut gone = named_by_connection(fields);
    gone.extend(fields.keys().filter(|name| goes(name)).cloned());
    for name in gone {
        fields.remove(name);
    }
}

/// Trailers as they cross, in either direction.
pub(crate) fn trailers(fields: HeaderMap, allowed: Trailers) -> HeaderMap {
    let mut out = HeaderMap::new();
    copy(fields, &mut out, |name| match allowed {
        Trailers::Listed => trailer_crosses(name),
        Trailers::Metadata => metadata_crosses(name),
    });
    out
}

/// Whether the client asks for an upgrade: none, to `websocket`, or to something that does not cross.
pub(crate) fn upgrade(fields: &HeaderMap) -> Upgrade {
    let connection = fields.get_all(header::CONNECTION).iter().flat_map(tokens);
    if !connection
        .into_iter()
        .any(|token| token.eq_ignore_ascii_case("upgrade"))
    {
        return Upgrade::None;
    }
    let mut asked = fields.get_all(header::UPGRADE).iter();
    match (asked.next().map(HeaderValue::as_bytes), asked.next()) {
        (Some(protocol), None) if protocol.eq_ignore_ascii_case(b"websocket") => Upgrade::WebSocket,
        // A server may ignore an upgrade (RFC 9110 §7.8), and that is what a client of h2c expects.
        (Some(protocol), None) if protocol.eq_ignore_ascii_case(b"h2c") => Upgrade::None,
        (None, _) => Upgrade::None,
        _ => Upgrade::Other,
    }
}

/// See [`upgrade`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    None,
    WebSocket,
    Other,
}

/// Puts back what makes a request or answer an upgrade to `websocket`.
pub(crate) fn set_upgrade(fields: &mut HeaderMap) {
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

fn copy(from: HeaderMap, to: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    let mut current = None;
    for (name, value) in from {
        // `HeaderMap` gives the name with the first of several values only.
        if name.is_some() {
            current = name.filter(&keep);
        }
        if let Some(name) = &current {
            to.append(name, value);
        }
    }
}

fn named_by_connection(fields: &HeaderMap) -> Vec<HeaderName> {
    let tokens = fields.get_all(header::CONNECTION).iter().flat_map(tokens);
    tokens
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect()
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value
        .to_str()
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn requests() {
        let fields = map(&[
            ("host", "evil"),
            ("accept", "a"),
            ("connection", "keep-alive, x-mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic secret"),
            ("te", "trailers"),
            ("http2-settings", "x"),
            ("upgrade", "h2c"),
            ("cookie", "c"),
        ]);
        let mut fields = fields;
        fields.append("accept", HeaderValue::from_static("b"));
        request(&mut fields, HeaderValue::from_static("good"));
        let mut names: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                ("accept", "a"),
                ("accept", "b"),
                ("cookie", "c"),
                ("host", "good"),
                ("te", "trailers"),
            ]
        );
    }

    #[test]
    fn answers() {
        let mut fields = map(&[
            ("alt-svc", "h3"),
            ("x-sandbox-reason", "default"),
            ("proxy-authenticate", "x"),
            ("etag", "e"),
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
        ]);
        answer(&mut fields);
        assert_eq!(fields, map(&[("etag", "e")]));
    }

    #[test]
    fn trailer_fields() {
        let sent = [
            ("host", "a"),
            ("content-length", "1"),
            ("authorization", "s"),
            ("x-api-key", "s"),
            ("cookie", "s"),
            ("grpc-status", "0"),
            ("meta-bin", "1"),
        ];
        let listed = trailers(map(&sent), Trailers::Listed);
        assert_eq!(listed, map(&[("grpc-status", "0")]));
        let metadata = trailers(map(&sent), Trailers::Metadata);
        assert_eq!(metadata, map(&[("grpc-status", "0"), ("meta-bin", "1")]));
    }

    #[test]
    fn upgrades() {
        let rows: &[(&[(&str, &str)], Upgrade)] = &[
            (&[], Upgrade::None),
            (&[("upgrade", "websocket")], Upgrade::None),
            (
                &[
                    ("connection", "keep-alive, Upgrade"),
                    ("upgrade", "WebSocket"),
                ],
                Upgrade::WebSocket,
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "h2c")],
                Upgrade::None,
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "websocket, h2c")],
                Upgrade::Other,
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "TLS/1.0")],
                Upgrade::Other,
            ),
        ];
        for (fields, expected) in rows {
            let fields: HeaderMap = fields
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect();
            assert_eq!(upgrade(&fields), *expected, "{fields:?}");
        }
    }
}
