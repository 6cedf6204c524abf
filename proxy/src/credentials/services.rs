//! Services whose credentials are known by name, so that a caller need only have the usual variable set.

use policy_lang::language::{File, no_files};
use policy_lang::{Injection, Policy, Target};

/// A service, its hosts, and how it wants to be told who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Its name, as `network proxy` and the log show it.
    pub name: &'static str,
    /// Variables that hold its credential; the first that is set counts.
    pub variables: &'static [&'static str],
    /// What a guest gets instead: worthless, and of the shape that clients of the service insist on.
    pub sentinel: &'static str,
    /// Where the credential goes, and how.
    pub hosts: &'static [(&'static str, Form)],
}

/// How a credential is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `Authorization: Bearer …`
    Bearer,
    /// `Authorization: Basic …`, with this user and the credential as the password.
    Basic(&'static str),
    /// A header of the service's own.
    Header(&'static str),
}

impl Form {
    /// The end of an `inject` line.
    fn clause(self, variable: &str) -> String {
        match self {
            Self::Bearer => format!("authorization from env {variable} as \"Bearer %s\""),
            Self::Basic(user) => {
                format!("authorization from env {variable} as \"Basic {user}:%s\"")
            }
            Self::Header(name) => format!("{name} from env {variable}"),
        }
    }
}

const PROXY_MANAGED: &str = "proxy-managed";

/// The services there are. Hosts and headers are those of Docker's product and of the services' own documents; it does not
/// tell a header for the last four, whose documents say `Bearer`. AWS signs requests with its secret (SigV4), which is no
/// header that could be set, and is left out.
pub const SERVICES: [Service; 11] = [
    Service {
        name: "anthropic",
        variables: &["ANTHROPIC_API_KEY"],
        sentinel: PROXY_MANAGED,
        hosts: &[
            ("api.anthropic.com", Form::Header("x-api-key")),
            ("mcp-proxy.anthropic.com", Form::Header("x-api-key")),
        ],
    },
    Service {
        name: "openai",
        variables: &["OPENAI_API_KEY"],
        sentinel: PROXY_MANAGED,
        hosts: &[
            ("api.openai.com", Form::Bearer),
            ("openai.com", Form::Bearer),
        ],
    },
    Service {
        name: "github",
        variables: &["GH_TOKEN", "GITHUB_TOKEN"],
        // gh looks at the prefix to tell what kind of token it has.
        sentinel: "gho_proxymanaged",
        hosts: &[
            ("api.github.com", Form::Bearer),
            // git over HTTPS takes a token as a password only.
            ("github.com", Form::Basic("x-access-token")),
            ("raw.githubusercontent.com", Form::Bearer),
            ("copilot.github.com", Form::Bearer),
            ("api.githubcopilot.com", Form::Bearer),
            ("api.individual.githubcopilot.com", Form::Bearer),
            ("api.business.githubcopilot.com", Form::Bearer),
            ("api.enterprise.githubcopilot.com", Form::Bearer),
        ],
    },
    Service {
        name: "google",
        variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        sentinel: PROXY_MANAGED,
        hosts: &[
            (
                "generativelanguage.googleapis.com",
                Form::Header("x-goog-api-key"),
            ),
            ("aiplatform.googleapis.com", Form::Header("x-goog-api-key")),
            ("vertexai.googleapis.com", Form::Header("x-goog-api-key")),
        ],
    },
    Service {
        name: "groq",
        variables: &["GROQ_API_KEY"],
        sentinel: PROXY_MANAGED,
        hosts: &[("api.groq.com", Form::Bearer)],
    },
    Service {
        name: "xai",
        variables: &["XAI_API_KEY"],
        sentinel: PROXY_MANAGED,
        hosts: &[("api.x.ai", Form::Bearer)],
    },
    Service {
        name: "openrouter",
        variables: &["OPENROUTER_API_KEY"],
        sentinel: PROXY_MANAGED,
        hosts: &[("openrouter.ai", Form::Bearer)],
    },
    Service {
        name: "mistral",
        variables: &["MISTRAL_API_KEY"],
        sentinel: PROXY_MANAGED,
        hosts: &[("api.mistral.ai", Form::Bearer)],
    },
    Service {
        name: "nebius",
        variables: &["NEBIUS_API_KEY"],
        sentinel: PROXY_MANAGED,
        hosts: &[
            ("api.studio.nebius.com", Form::Bearer),
            ("api.tokenfactory.nebius.com", Form::Bearer),
        ],
    },
    Service {
        name: "cursor",
        variables: &["CURSOR_API_KEY"],
        sentinel: PROXY_MANAGED,
        hosts: &[
            ("api2.cursor.sh", Form::Bearer),
            ("api3.cursor.sh", Form::Bearer),
        ],
    },
    Service {
        name: "droid",
        variables: &["FACTORY_API_KEY"],
        sentinel: PROXY_MANAGED,
        hosts: &[
            ("api.factory.ai", Form::Bearer),
            ("app.factory.ai", Form::Bearer),
            ("relay.factory.ai", Form::Bearer),
        ],
    },
];

/// The service that `variable` belongs to.
#[must_use]
pub fn service_of(variable: &str) -> Option<&'static Service> {
    SERVICES
        .iter()
        .find(|service| service.variables.contains(&variable))
}

/// The services that something was handed over for, as the lines of the policy language they stand for.
#[derive(Debug)]
pub(super) struct Active {
    injections: Vec<Injection>,
    policy: Policy,
}

impl Active {
    /// With the services of which a variable is set.
    pub(super) fn new(is_set: impl Fn(&str) -> bool) -> Self {
        let lines: Vec<_> = SERVICES
            .iter()
            .flat_map(|service| lines(service, &is_set))
            .collect();
        let text = lines.concat();
        // The table is fixed and a test compiles all of it; what did not compile would set nothing.
        let compiled = File::parse(&text, "built-in services")
            .and_then(|file| file.compile(&mut no_files))
            .map(|(policy, _)| policy);
        let policy = compiled.unwrap_or_else(|_| Policy::deny_all());
        Self {
            injections: policy.all_injections().to_vec(),
            policy,
        }
    }

    pub(super) fn on(&self, target: &Target) -> impl Iterator<Item = &Injection> {
        self.policy.injections(target)
    }

    pub(super) fn all(&self) -> &[Injection] {
        &self.injections
    }
}

/// What the table sets on requests to `target`, where `is_set` tells the variables that a proxy was given.
///
/// Nothing where a line of `policy` is about the target: then the table is not asked.
pub fn built_in(policy: &Policy, target: &Target, is_set: impl Fn(&str) -> bool) -> Vec<Injection> {
    match policy.injections(target).next() {
        Some(_) => Vec::new(),
        None => Active::new(is_set).on(target).cloned().collect(),
    }
}

fn lines(service: &Service, is_set: impl Fn(&str) -> bool) -> Vec<String> {
    let set = service.variables.iter().find(|name| is_set(name));
    let Some(variable) = set else {
        return Vec::new();
    };
    let line = |(host, form): &(&str, Form)| format!("inject {host} {}\n", form.clause(variable));
    service.hosts.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_compiles() {
        let hosts: usize = SERVICES.iter().map(|service| service.hosts.len()).sum();
        assert_eq!(Active::new(|_| true).all().len(), hosts);
        assert_eq!(Active::new(|_| false).all(), []);
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        let rows = [
            (&["GITHUB_TOKEN"][..], "env GITHUB_TOKEN"),
            (&["GITHUB_TOKEN", "GH_TOKEN"], "env GH_TOKEN"),
        ];
        for (set, expected) in rows {
            let active = Active::new(|name| set.contains(&name));
            let target = Target::parse("api.github.com:443", None).unwrap();
            let from: Vec<_> = active
                .on(&target)
                .map(|i| i.credential.from.to_string())
                .collect();
            assert_eq!(from, [expected]);
            let plain = Target::parse("api.github.com:80", None).unwrap();
            assert_eq!(active.on(&plain).count(), 0);
        }
    }

    #[test]
    fn a_line_of_the_policy_is_all_there_is_about_its_host() {
        let target = Target::parse("api.openai.com:443", None).unwrap();
        let rows = [
            ("default allow\n", 1),
            ("inject api.openai.com x-key from env K\n", 0),
        ];
        for (text, expected) in rows {
            let file = File::parse(text, "x").unwrap();
            let (policy, _) = file.compile(&mut no_files).unwrap();
            assert_eq!(
                built_in(&policy, &target, |_| true).len(),
                expected,
                "{text}"
            );
            assert_eq!(
                built_in(&policy, &target, |name| name == "K").len(),
                0,
                "{text}"
            );
        }
    }
}
