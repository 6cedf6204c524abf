//! `sandbox policy explain`

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use clap::Args;
use policy_lang::{CredentialExplanation, Explanation, Host, Port, SecretSource, Target};
use proxy::admin::Status;
use proxy::credentials::{Handed, built_in};
use serde::Serialize;

use super::source::{PolicySource, local_addrs};
use crate::credentials;
use crate::lifecycle;
use crate::policy_file;
use crate::report::{self, Failure, Outcome, USAGE};
use crate::state::Paths;

/// `sandbox policy explain`
#[derive(Debug, Args)]
#[command(after_help = "\
It asks the functions that the proxy asks. The name is resolved as the proxy would resolve it, on this \
machine, and every address is judged.

Exits with 0 where the request would be allowed and 1 where it would be denied.

Examples:
  sandbox policy explain https://api.github.com/repos/a/b
  sandbox policy explain --sandbox NAME --method POST https://api.example.com/v1/x
  sandbox policy explain --config team.policy --ip 10.1.2.3 db.example.com:5432")]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) source: PolicySource,
    /// The request's method, where a URL is given
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// Judge this address instead of resolving the name; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Vec<IpAddr>,
    /// Do not resolve the name
    #[arg(long, conflicts_with = "ip")]
    pub(crate) no_resolve: bool,
    /// The name server to ask [default: the system's]
    #[arg(long, value_name = "IP:PORT", conflicts_with_all = ["ip", "no_resolve"])]
    pub(crate) dns: Option<SocketAddr>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// A URL, a host or host:port (port 443 unless said)
    #[arg(value_name = "URL|HOST[:PORT]")]
    pub(crate) target: String,
}

/// What is printed: the policy's explanation, and what only this machine knows.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    explanation: Explanation,
    /// The number of the policy in force in the sandbox, if it runs and has this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    /// Why no address was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    unresolved: Option<String>,
}

pub(super) fn run(args: &ExplainArgs) -> Outcome {
    let target = target(&args.target)?;
    let policy = policy_file::read(&args.source.file()?)?.policy;
    let admitted = policy.admit_host(&target).action.is_allow();
    let (addrs, unresolved) = addresses(args, &target, admitted);
    let local = local_addrs()?;
    let mut explanation = match path_of(&args.target) {
        Some(path) => policy.explain_request(&target, (&args.method, path), &addrs, &local),
        None => policy.explain(&target, &addrs, &local),
    };
    let proxy = ItsProxy::of(&args.source)?;
    let built_in = built_in(&policy, &target, |name| proxy.is_handed(name));
    explanation
        .credentials
        .extend(built_in.iter().map(|injection| CredentialExplanation {
            applies: explanation.request.as_ref().map(|_| true),
            origin: "built in".to_owned(),
            if_handed: matches!(proxy, ItsProxy::Unknown),
            ..CredentialExplanation::from(injection)
        }));
    let answer = Answer {
        generation: proxy.generation(&explanation.policy),
        explanation,
        unresolved,
    };
    if args.json {
        report::print_json(&answer)?;
    } else {
        report::print_raw(&answer)?;
    }
    Ok(if answer.explanation.action.is_allow() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(report::FAILED)
    })
}

/// The addresses to judge, or why there are none. A name that is denied is never resolved: asking for it would
/// tell its name server.
fn addresses(args: &ExplainArgs, target: &Target, admitted: bool) -> (Vec<IpAddr>, Option<String>) {
    if !args.ip.is_empty() {
        return (args.ip.clone(), None);
    }
    match target.host() {
        Host::Addr(addr) => (vec![*addr], None),
        Host::Name(_) if !admitted => (
            Vec::new(),
            Some("a name that is denied is not resolved".to_owned()),
        ),
        Host::Name(_) if args.no_resolve => (Vec::new(), Some("not resolved, as asked".to_owned())),
        Host::Name(name) => match proxy::lookup(name, args.dns) {
            Ok(addrs) => (addrs, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        },
    }
}

/// What is known of the proxy that would be asked.
enum ItsProxy {
    /// It runs.
    Running(Box<Status>),
    /// It would be started with this.
    Stopped(Handed),
    /// Whose it is was not said.
    Unknown,
}

impl ItsProxy {
    fn of(source: &PolicySource) -> Result<Self, Failure> {
        let Some(name) = &source.sandbox else {
            return Ok(Self::Unknown);
        };
        let paths = Paths::from_env()?;
        let sandbox = paths.open(name)?;
        Ok(match lifecycle::proxy_status(&paths, &sandbox)? {
            Some(status) => Self::Running(Box::new(status)),
            None => Self::Stopped(credentials::of(&sandbox)?),
        })
    }

    /// Whether it has the credential in this variable, or may have.
    fn is_handed(&self, name: &str) -> bool {
        match self {
            Self::Running(status) => {
                let from = SecretSource::Env(name.into()).to_string();
                status.credentials.iter().any(|active| active.from == from)
            }
            Self::Stopped(handed) => handed.names().any(|handed| handed == name),
            Self::Unknown => true,
        }
    }

    /// The generation of its policy, if that is the one explained.
    fn generation(&self, digest: &str) -> Option<u64> {
        match self {
            Self::Running(status) if status.digest == digest => Some(status.generation),
            Self::Running(_) | Self::Stopped(_) | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.explanation.fmt(f)?;
        if let Some(generation) = self.generation {
            writeln!(f, "generation {generation}, in force now")?;
        }
        if let Some(why) = &self.unresolved {
            writeln!(f, "no address was judged: {why}")?;
        }
        Ok(())
    }
}

/// A URL's scheme gives the port; anything else means HTTPS unless it says otherwise.
fn target(text: &str) -> Result<Target, Failure> {
    let parsed = if text.contains("://") {
        Target::from_url(text)
    } else {
        Target::parse(text, Some(Port::HTTPS))
    };
    parsed.map_err(|error| {
        Failure::doing(format_args!("`{text}`"), &error)
            .help(error.help())
            .code(USAGE)
    })
}

/// What a URL asks for, where the policy has rules on methods and paths.
fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    match rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)) {
        Some(path) if path.starts_with('/') => Some(path),
        _ => Some("/"),
    }
}
