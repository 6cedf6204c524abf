//! What becomes of a connection once its target is admitted.

pub(crate) mod connect;
pub(crate) mod mitm;
pub(crate) mod tunnel;
pub(crate) mod upgraded;
