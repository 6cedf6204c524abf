//! Tests of the whole: the real binary, real sockets, real microVMs.

#![allow(missing_docs, reason = "a test binary has no readers of documentation")]

mod cli;
mod decisions;
mod dns;
mod edges;
mod microvm;
mod origin;
mod promises;
mod support;
