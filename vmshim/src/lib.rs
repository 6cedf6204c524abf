//! Supervises one microVM: VMM driver, images, channel, file sharing, guest protocol.

pub mod cache;
pub mod image;
pub mod kernel;
pub mod progress;
pub mod tool;

/// The guest's init: a static program for the guest's architecture, the `/init` of its initramfs.
pub static GUEST_INIT: &[u8] = include_bytes!(env!("GUEST_INIT"));
