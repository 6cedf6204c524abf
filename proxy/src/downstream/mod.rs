//! HTTP/1 towards clients: a request read once and strictly, an answer written from typed fields.
//!
//! It runs in the task of the client's connection, without a channel or a standing buffer. [`conn`] is a connection and
//! its deadlines, [`body`] the body of a request, which reads the connection as its own reader asks for it, [`link`] what lets
//! both do so, [`answer`] the head of an answer (pure), [`mod@serve`] one exchange after the other.
//!
//! A connection carries another request only when the body of the last one was read to its end and the answer was sent
//! whole. HTTP/2 is hyper's; [`mod@http2`] sets its limits and says when it ends.

mod answer;
mod body;
mod conn;
mod date;
mod http2;
mod link;
mod serve;

#[cfg(test)]
mod readers;

pub(crate) use body::{Broken, ClientBody};
pub(crate) use conn::{Conn, First};
pub(crate) use http2::http2;
pub(crate) use serve::serve;
