//! Secrets that only the proxy knows, set on requests to the one host each is for.
//!
//! They come from the policy's `inject` lines, or from the table of services for which a caller handed something
//! over. Where a line of the policy is about a host, the table is not asked about it.
//!
//! A secret is read when it is used, so a rotated one is used at once. It is never logged, and never in an error.

mod apply;
mod error;
mod had;
mod handed;
mod identity;
mod logins;
mod oauth;
mod place;
mod scrub;
mod secret;
mod services;
mod source;
mod strip;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use policy_lang::{Injection, Policy, SecretSource, Target};
use serde::{Deserialize, Serialize};

use crate::context::Context;

pub(crate) use apply::apply;
pub(crate) use error::CredentialError;
pub(crate) use identity::Identity;
pub(crate) use scrub::Scrubber;
pub(crate) use strip::is_credential;

pub use handed::{Handed, Handover};
pub use logins::Login;
pub(crate) use logins::Logins;
pub use services::{Form, SERVICES, Service, built_in, service_of};

/// A credential that is in force, by name only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// The service's name, or that of the header, parameter or field.
    pub name: String,
    /// The host and port it is for.
    pub host: String,
    /// Where in a request it is set.
    pub place: String,
    /// Where it comes from.
    pub from: String,
}

/// Where secrets come from.
#[derive(Debug)]
pub(crate) struct Credentials {
    handover: Option<Arc<Handover>>,
    held: ArcSwap<Held>,
    files: source::Files,
    printed: source::Printed,
    tokens: oauth::Tokens,
}

/// What was handed over, and which services that makes active.
#[derive(Debug)]
struct Held {
    handed: Handed,
    services: services::Active,
}

impl Held {
    fn new(handed: Handed) -> Arc<Self> {
        let services = services::Active::new(|name| handed.get(name).is_some());
        Arc::new(Self { handed, services })
    }
}

impl Credentials {
    /// With what was handed over by `handed` itself and through `handover`.
    pub(crate) fn new(mut handed: Handed, handover: Option<Arc<Handover>>) -> io::Result<Self> {
        if let Some(handover) = &handover {
            handed.extend(handover.read()?);
        }
        Ok(Self {
            handover,
            held: ArcSwap::new(Held::new(handed)),
            files: source::Files::default(),
            printed: source::Printed::default(),
            tokens: oauth::Tokens::default(),
        })
    }

    /// Puts `handed` in the place of what was handed over, here and for the proxy's successor.
    pub(crate) fn replace(&self, handed: Handed) -> io::Result<()> {
        if let Some(handover) = &self.handover {
            handover.replace(&handed)?;
        }
        self.held.store(Held::new(handed));
        Ok(())
    }

    /// What is to be set on requests to `target`: what the policy says, or else what the services' table says.
    pub(crate) fn choose(&self, of_policy: Vec<Injection>, target: &Target) -> Vec<Injection> {
        match of_policy.is_empty() {
            true => self.held.load().services.on(target).cloned().collect(),
            false => of_policy,
        }
    }

    /// The credentials in force under `policy`.
    pub(crate) fn active(&self, policy: &Policy) -> Vec<Active> {
        let held = self.held.load();
        let of_policy = policy.all_injections();
        let overridden = |service: &&Injection| {
            let mut of_policy = of_policy.iter();
            of_policy.any(|own| own.pattern.overlaps(&service.pattern))
        };
        let services = held.services.all().iter();
        let services = services.filter(|service| !overridden(service));
        of_policy.iter().chain(services).map(Active::of).collect()
    }

    /// An origin refused what was set: what can be had anew is had anew at the next request, if it is older than `pause`.
    pub(crate) fn refused(&self, injections: &[Injection], pause: Duration) {
        for injection in injections {
            match &injection.credential.from {
                SecretSource::Command(line) => self.printed.command_refused(line, pause),
                SecretSource::Keyring(entry) => self.printed.keyring_refused(entry, pause),
                SecretSource::OAuth(file) => self.tokens.refused(file, pause),
                SecretSource::Env(_) | SecretSource::File(_) => {}
            }
        }
    }

    async fn secret(
        &self,
        context: &Arc<Context>,
        from: &SecretSource,
    ) -> Result<secret::Secret, CredentialError> {
        let pause = context.limits.credential_pause;
        match from {
            SecretSource::Env(name) => self.variable(name),
            SecretSource::File(path) => self.files.secret(path),
            SecretSource::Command(line) => self.printed.by_command(line, pause).await,
            SecretSource::Keyring(entry) => self.printed.by_keyring(entry, pause).await,
            SecretSource::OAuth(file) => self.tokens.access(context, file).await,
        }
    }

    /// What was handed over, or else this process's own variable.
    fn variable(&self, name: &str) -> Result<secret::Secret, CredentialError> {
        if let Some(handed) = self.held.load().handed.get(name) {
            return secret::Secret::new(handed.clone());
        }
        let own = std::env::var(name);
        secret::Secret::new(own.map_err(|_| CredentialError::NoVariable(name.to_owned()))?)
    }
}

impl Active {
    fn of(injection: &Injection) -> Self {
        let credential = &injection.credential;
        Self {
            name: id(injection),
            host: injection.pattern.to_string(),
            place: credential.place.to_string(),
            from: credential.from.to_string(),
        }
    }
}

/// What a credential is called in the log: the service whose variable it comes from, or the header's name.
fn id(injection: &Injection) -> String {
    let service = match &injection.credential.from {
        SecretSource::Env(variable) => service_of(variable),
        _ => None,
    };
    match service {
        Some(service) => service.name.to_owned(),
        None => injection.credential.place.name().to_owned(),
    }
}
