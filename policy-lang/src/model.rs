//! What all files of a policy say together, before it is compiled.

use crate::{
    Action, HostPattern, Origin, RequestPath, Rule, Target,
    language::{Allowance, Credential, NetDefault, Rate},
    matcher::{Key, ListTable},
};

/// The one model of both forms. The order of its parts has no meaning.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) default: Option<(Action, Origin)>,
    pub(crate) net_default: Option<(NetDefault, Origin)>,
    pub(crate) rules: Vec<Rule>,
    /// What the lists are hashed with.
    pub(crate) key: Key,
    /// The names of list files that allow and block.
    pub(crate) lists: Vec<ListTable>,
    /// The names of list files that bypass.
    pub(crate) bypass_lists: Vec<ListTable>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) injections: Vec<Injection>,
    pub(crate) expectations: Vec<Expectation>,
}

/// How often hosts may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Which hosts.
    pub pattern: HostPattern,
    /// How often.
    pub rate: Rate,
    /// Who wrote it.
    pub origin: Origin,
}

/// What hosts may use up in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Which hosts. They share it.
    pub pattern: HostPattern,
    /// How much.
    pub allowance: Allowance,
    /// Who wrote it.
    pub origin: Origin,
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "budget {} {}", self.pattern, self.allowance)
    }
}

/// A credential for one host, which only the proxy knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// One exact host; without a port it means that of HTTPS.
    pub pattern: HostPattern,
    /// What to set, and from where.
    pub credential: Credential,
    /// Who wrote it.
    pub origin: Origin,
}

impl Injection {
    /// Whether it is for requests with this path (and query) in origin form, however a server may read the path.
    pub fn covers_path(&self, path: &str) -> bool {
        let Some(pattern) = &self.credential.path else {
            return true;
        };
        RequestPath::parse(path).is_ok_and(|path| {
            pattern.covers(path.as_str()) && path.other_readings().all(|path| pattern.covers(path))
        })
    }
}

/// A test that the policy carries with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The verdict expected.
    pub action: Action,
    /// The method; `GET` if none is written.
    pub method: Box<str>,
    /// The URL as written.
    pub url: Box<str>,
    /// Its target.
    pub target: Target,
    /// Who wrote it.
    pub origin: Origin,
}

impl Expectation {
    /// The path and query of the URL.
    pub fn path(&self) -> &str {
        let after_scheme = self.url.find("://").map_or(0, |at| at + 3);
        let rest = self.url.get(after_scheme..).unwrap_or("");
        match rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)) {
            Some(path) if path.starts_with('/') => path,
            _ => "/",
        }
    }
}
