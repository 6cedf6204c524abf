//! The strict reading of HTTP/1 that happens before hyper sees a byte.
//!
//! hyper is lenient where a proxy must not be: two parsers that disagree about where a message ends are how requests
//! are smuggled. [`head`] and [`chunked`] are pure; [`guard`] puts them in front of a connection.

pub(crate) mod chunked;
pub(crate) mod guard;
pub(crate) mod head;
