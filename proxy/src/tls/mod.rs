//! Everything about TLS: the sandbox's authority, the leaves it signs, the first bytes of a client, and the
//! verified connection to an origin.

pub mod ca;
mod certificate;
pub(crate) mod client_hello;
pub(crate) mod leaf;
mod provider;
pub(crate) mod server;
pub(crate) mod upstream;
