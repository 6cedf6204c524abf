//! Tests of the whole: the real binary, real sockets, real microVMs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test stops where something unforeseen happens; clippy.toml excuses only test functions"
)]

mod appliance;
mod cli;
mod decisions;
mod dns;
mod edges;
mod faults;
mod flags;
mod image;
mod microvm;
mod model;
mod origin;
mod policy;
mod promises;
mod support;
mod upkeep;
