//! The wire format that the host and the guest share.
#![forbid(unsafe_code)]
