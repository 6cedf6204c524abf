//! HTTP/1 towards origins: a request written from typed fields, an answer read as strictly as requests are.
//!
//! It runs in the task of the client's connection, without a task, a channel or a standing buffer of its own. [`head`]
//! and [`request`] are pure; [`wire`] is a connection, [`upload`] a request on it, [`mod@exchange`] both, [`body`] the
//! answer's body, which gives the connection back.
//!
//! A connection is used again only when its answer ended where it said it would, with nothing behind it, and the request
//! was sent whole.

mod body;
mod error;
mod exchange;
mod head;
mod request;
mod upload;
mod wire;

#[cfg(test)]
mod readers;

pub(crate) use body::Body;
pub(crate) use error::Error;
pub(crate) use exchange::exchange;
pub(crate) use head::AnswerError;
pub(crate) use request::Form;
pub(crate) use wire::Wire;
