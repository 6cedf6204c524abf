//! Supervises one microVM: VMM driver, images, channel, file sharing, guest protocol.

pub mod cache;
pub mod confine;
pub mod engine;
pub mod helper;
pub mod image;
pub mod kernel;
pub mod progress;
pub mod share;
pub mod spec;
pub mod tool;

/// The guest's init: a static program for the guest's architecture, the `/init` of its initramfs.
pub static GUEST_INIT: &[u8] = include_bytes!(env!("GUEST_INIT"));
