//! What the caller's environment has for a sandbox's proxy, and how it gets there.
//!
//! caller's environment → memory file, inherited by the supervisor (which never reads it) → the proxy's standard input.
//! The supervisor and all it starts get an environment without them.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use policy_lang::SecretSource;
use proxy::credentials::{Handed, Handover, SERVICES};
use proxy::parent;
use rustix::io::{FdFlags, fcntl_setfd};

use crate::policy_file;
use crate::report::Failure;

/// What is set in this process's environment of all that the sandbox with the policy in `config` may use: the variables
/// of the built-in services, and those that the policy names.
pub(crate) fn collect(config: &Path) -> Result<Handed, Failure> {
    let policy = policy_file::read(config)?.policy;
    let of_services = SERVICES.iter().flat_map(|service| service.variables);
    let of_policy = policy.all_injections().iter();
    let of_policy = of_policy.filter_map(|injection| match &injection.credential.from {
        SecretSource::Env(name) => Some(&**name),
        _ => None,
    });
    // Parent proxies come with passwords, too.
    let names = of_services.copied().chain(of_policy);
    Ok(Handed::from_env(names.chain(parent::VARIABLES)))
}

/// A memory file with secrets, open in the children of this process too.
pub(crate) struct Inherited(File);

impl Inherited {
    pub(crate) fn new(handed: &Handed) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| Failure::doing("cannot hand over credentials", &error);
        let file = Handover::create(handed).map_err(cannot)?.into_file();
        fcntl_setfd(file.as_fd(), FdFlags::empty()).map_err(|errno| cannot(errno.into()))?;
        Ok(Self(file))
    }

    /// Its descriptor, the same in a child.
    pub(crate) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }
}
