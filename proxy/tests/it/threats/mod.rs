//! Every threat through every way into the proxy, and beside each the same input with the guard lifted.
//!
//! `threats.toml` lists the threats. Each names, for each [`Adapter`], the table whose rows try it, the test that does,
//! or the reason why it cannot be tried there. [`catalogue`] holds the list to that.

mod answers;
mod behind;
mod breaks;
mod catalogue;
mod floods;
mod hellos;
mod redirects;
pub(crate) mod rig;
mod spellings;
mod streams;
mod verdicts;

pub(crate) use rig::Rig;

/// A way into the proxy. One policy and one reader of heads stand behind all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Adapter {
    /// `GET http://host/`.
    Absolute,
    /// Plain HTTP inside a `CONNECT`.
    Tunnel,
    /// HTTP/1 inside intercepted TLS.
    Http1,
    /// HTTP/2 inside intercepted TLS.
    Http2,
    /// The handshake of a WebSocket inside intercepted TLS.
    WebSocket,
}

impl Adapter {
    pub(crate) const ALL: [Self; 5] = [
        Self::Absolute,
        Self::Tunnel,
        Self::Http1,
        Self::Http2,
        Self::WebSocket,
    ];

    /// Those that take a head as HTTP/1 text.
    pub(crate) const TEXT: [Self; 4] = [Self::Absolute, Self::Tunnel, Self::Http1, Self::WebSocket];

    /// The key in `threats.toml`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Absolute => "absolute",
            Self::Tunnel => "tunnel",
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::WebSocket => "websocket",
        }
    }

    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Http1 | Self::Http2 | Self::WebSocket)
    }
}

/// Threat and adapter of a row: what the catalogue wants to see.
pub(crate) type Cell = (&'static str, Adapter);
