//! Adapters around byte streams.

pub(crate) mod prefixed;
pub(crate) mod relay;
mod splice;
pub(crate) mod stall;
