//! What the caller's environment has for a sandbox's proxy, and how it gets there.
//!
//! caller's environment → memory file, inherited by the supervisor (which never reads it) → the proxy's standard input.
//! The supervisor and all it starts get an environment without them.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};

use policy_lang::SecretSource;
use proxy::credentials::{Handed, Handover, SERVICES, Service};
use proxy::parent;
use rustix::io::{FdFlags, fcntl_setfd};

use crate::agent::Agent;
use crate::policy_file;
use crate::report::Failure;
use crate::settings::Credentials;
use crate::state::Sandbox;

/// What stands in the guest for a key of no known service.
pub(crate) const PLACEHOLDER: &str = "proxy-managed";

/// What is set in this process's environment of all that `sandbox` may use: the variables of its agent's services,
/// and those that its policy names. A key that is in the environment for something else stays there.
pub(crate) fn of(sandbox: &Sandbox) -> Result<Handed, Failure> {
    let record = &sandbox.record;
    // Parent proxies come with passwords, too.
    if record.settings.credentials == Credentials::None {
        return Ok(Handed::from_env(parent::VARIABLES));
    }
    let agents = Agent::find(&record.agent).map_or(&[][..], |agent| agent.services);
    let is_agents = |service: &&Service| agents.contains(&service.name);
    let of_services = SERVICES.iter().filter(is_agents);
    let of_services = of_services.flat_map(|service| service.variables);
    let policy = policy_file::of(sandbox)?.policy;
    let of_policy = policy.all_injections().iter();
    let of_policy = of_policy.filter_map(|injection| match &injection.credential.from {
        SecretSource::Env(name) => Some(&**name),
        _ => None,
    });
    let names = of_services.copied().chain(of_policy);
    Ok(Handed::from_env(names.chain(parent::VARIABLES)))
}

/// What the guest has in place of each key: a value of the right shape that is worth nothing.
pub(crate) fn placeholders(handed: &Handed) -> Vec<(String, String)> {
    let is_handed = |service: &&Service| {
        let mut variables = service.variables.iter();
        variables.any(|variable| handed.names().any(|name| name == *variable))
    };
    let active = SERVICES.iter().filter(is_handed);
    let pairs = active.flat_map(|service| {
        let variables = service.variables.iter();
        variables.map(|variable| ((*variable).to_owned(), service.sentinel.to_owned()))
    });
    let mut all: Vec<_> = pairs.collect();
    for name in handed.names() {
        let is_parents = parent::VARIABLES.contains(&name);
        if !is_parents && !all.iter().any(|(known, _)| known == name) {
            all.push((name.to_owned(), PLACEHOLDER.to_owned()));
        }
    }
    all
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_gets_placeholders_of_the_right_shape() {
        let mut handed = Handed::default();
        for name in ["GITHUB_TOKEN", "INTERNAL_KEY", "HTTPS_PROXY"] {
            handed.insert(name, "secret".to_owned());
        }
        let pairs = placeholders(&handed);
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let wanted = [
            "GH_TOKEN=gho_proxymanaged",
            "GITHUB_TOKEN=gho_proxymanaged",
            "INTERNAL_KEY=proxy-managed",
        ];
        assert_eq!(pairs, wanted);
        assert!(placeholders(&Handed::default()).is_empty());
    }
}
