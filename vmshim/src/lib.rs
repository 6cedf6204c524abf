//! Supervises one microVM: VMM driver, images, channel, file sharing, guest protocol.
