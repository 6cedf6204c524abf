//! HTTP/1 as both sides of the proxy read and write it.
//!
//! Two parsers that disagree about where a message ends are how requests are smuggled, so there is one, and it is strict:
//! [`head`] (a request's head), [`fields`], [`chunked`] and [`decode`] (a body out of its framing) are pure. [`ahead`] is
//! what was read and not yet used, [`mod@write`] and [`sending`] are the way out.

pub(crate) mod ahead;
pub(crate) mod chunked;
pub(crate) mod decode;
pub(crate) mod fields;
pub(crate) mod head;
pub(crate) mod sending;
pub(crate) mod write;

#[cfg(test)]
pub(crate) mod spoiled;
