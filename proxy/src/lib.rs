//! The data path: the only crate that opens sockets on behalf of a guest.
#![forbid(unsafe_code)]
