//! Connections to origins: made only with a [`Permit`](crate::gate::Permit), verified, kept for reuse.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod connect;
pub(crate) mod dial;
pub(crate) mod http1;
pub(crate) mod mirror;
pub mod parent;
pub(crate) mod pool;
pub(crate) mod send;
pub(crate) mod sender;
pub(crate) mod stream;
pub(crate) mod through;

pub(crate) use dial::dial;
