//! Supervises one microVM: VMM driver, images, channel, file sharing, guest protocol.

pub mod attach;
pub mod cache;
pub mod channel;
pub mod client;
pub mod confine;
pub mod container;
mod control;
pub mod engine;
pub mod guest;
pub mod helper;
pub mod image;
pub mod kernel;
pub mod lock;
mod notes;
pub mod progress;
pub mod share;
pub mod space;
pub mod spec;
pub mod status;
pub mod supervise;
pub mod tool;

/// The guest's init: a static program for the guest's architecture, the `/init` of its initramfs.
pub static GUEST_INIT: kernel::Init = kernel::Init {
    id: env!("GUEST_INIT_ID"),
    program: include_bytes!(env!("GUEST_INIT")),
};
