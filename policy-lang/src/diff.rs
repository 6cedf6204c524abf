//! What changes between two policies: requests on which their answers differ.
//!
//! Requests are not guessed. Rules divide hosts, ports, methods, paths and addresses into classes within which
//! neither policy tells one from another; one request of each class is asked about.

mod addrs;
mod hosts;
mod paths;
mod requests;

use crate::{
    Action, Carriage, Effect, Host, LocalAddrs, Origin, Policy, Reach, Reason, RequestVerdict,
    Rule, Target,
};
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::IpAddr,
};

/// A request about which two policies do not agree.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// In what.
    pub change: Change,
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The address that the host resolves to, where that matters.
    pub address: Option<IpAddr>,
    /// The first policy's answer.
    pub before: Answer,
    /// The second policy's answer.
    pub after: Answer,
    /// How many other witnesses the same rules decide in the same way.
    pub more: usize,
}

/// In what two policies differ. The riskiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Denied before, allowed after.
    NewlyAllowed,
    /// Intercepted before, tunnelled unread after.
    NoLongerRead,
    /// Allowed before, denied after.
    NewlyDenied,
    /// Tunnelled unread before, intercepted after.
    NowRead,
    /// Other limits, budgets or credentials.
    Terms,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NewlyAllowed => "newly allowed",
            Self::NoLongerRead => "no longer read",
            Self::NewlyDenied => "newly denied",
            Self::NowRead => "now read",
            Self::Terms => "other terms",
        })
    }
}

/// One policy's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Answer {
    /// The verdict.
    pub action: Action,
    /// [`Reason::code`] of it.
    pub reason: &'static str,
    /// What decided, as a sentence.
    pub because: String,
}

/// A request to ask both policies about.
#[derive(Debug, Clone)]
struct Asked {
    target: Target,
    method: String,
    path: String,
}

impl Asked {
    fn url(&self) -> String {
        let (scheme, usual) = match self.target.port().get() {
            80 => ("http", true),
            443 => ("https", true),
            _ => ("https", false),
        };
        let authority = self.target.to_string();
        let host = match usual {
            true => authority
                .rsplit_once(':')
                .map_or(&*authority, |(host, _)| host),
            false => &authority,
        };
        format!("{scheme}://{host}{}", self.path)
    }
}

/// Requests on which `before` and `after` do not agree: the riskiest first, one for each pair of rules that
/// decide, where all names of a list count as one rule. None if the policies mean the same.
///
/// COST: hosts in the rules, and in lists that are not in both policies, times the ports, methods and paths that
/// their rules tell apart.
pub fn differences(before: &Policy, after: &Policy) -> Vec<Difference> {
    let pair = Pair { before, after };
    let mut found = Found::default();
    let addrs = addrs::classes(before, after);
    let mut phases = HashSet::new();
    for host in hosts::classes(before, after, &addrs) {
        for asked in requests::of_host(&pair, &host) {
            let verdicts = pair.requests(&asked, &mut found);
            if verdicts.iter().any(|verdict| !verdict.action.is_allow()) {
                continue;
            }
            // Addresses do not depend on the name, only on how it was allowed.
            let phase = pair.phase(&asked.target, &verdicts);
            if asked.target.host().is_addr() || phases.insert(phase) {
                pair.addresses(&asked, &verdicts, &addrs, &mut found);
            }
        }
    }
    found.into_list()
}

/// How a request was allowed, as far as the rules about addresses care.
type Phase = [(Reach, bool, bool); 2];

struct Pair<'p> {
    before: &'p Policy,
    after: &'p Policy,
}

impl<'p> Pair<'p> {
    fn both(&self) -> [&'p Policy; 2] {
        [self.before, self.after]
    }

    /// Compares the verdicts on a request, and hands them out.
    fn requests(&self, asked: &Asked, found: &mut Found) -> [RequestVerdict; 2] {
        let judged = self
            .both()
            .map(|policy| policy.admit_request(&asked.target, &asked.method, &asked.path));
        let verdicts = judged.map(|verdict| (verdict.action, verdict.reason));
        let [before, after] = verdicts;
        if before.0 != after.0 {
            let reasons = [before.1, after.1];
            let causes = self.causes(reasons);
            let change = change(before.0);
            found.add(change, asked, None, causes, || self.answers(verdicts));
        }
        if before.0.is_allow() && after.0.is_allow() {
            self.terms(asked, verdicts, found);
        }
        judged
    }

    /// What decided, without the address: witnesses with one cause are alike.
    fn causes(&self, [before, after]: [Reason; 2]) -> [String; 2] {
        [cause(self.before, before), cause(self.after, after)]
    }

    fn answers(&self, [before, after]: [(Action, Reason); 2]) -> [Answer; 2] {
        let answer = |policy: &Policy, (action, reason): (Action, Reason)| Answer {
            action,
            reason: reason.code(),
            because: policy.describe(reason),
        };
        [answer(self.before, before), answer(self.after, after)]
    }

    /// The same answers for other causes.
    fn answers_because(&self, verdicts: [(Action, Reason); 2], causes: [String; 2]) -> [Answer; 2] {
        let mut answers = self.answers(verdicts);
        for (answer, because) in answers.iter_mut().zip(causes) {
            answer.because = because;
        }
        answers
    }

    fn terms(&self, asked: &Asked, verdicts: [(Action, Reason); 2], found: &mut Found) {
        let [before, after] = self.both().map(|policy| terms(policy, asked));
        if before != after {
            let causes = [before, after].map(|terms| match terms.is_empty() {
                true => "no limit, budget or credential".to_owned(),
                false => terms.join("; "),
            });
            let answers = || self.answers_because(verdicts, causes.clone());
            found.add(Change::Terms, asked, None, causes.clone(), answers);
        }
    }

    fn phase(&self, target: &Target, [before, after]: &[RequestVerdict; 2]) -> Phase {
        let phase = |policy: &Policy, verdict: &RequestVerdict| {
            let by_request = policy.admit_host(target).by_request;
            let tunnelled = matches!(policy.host_carriage(target), Some(Carriage::Tunnel(_)));
            (verdict.reach, by_request, tunnelled)
        };
        [phase(self.before, before), phase(self.after, after)]
    }

    /// Compares what becomes of a request at each class of addresses.
    fn addresses(
        &self,
        asked: &Asked,
        verdicts: &[RequestVerdict; 2],
        addrs: &[IpAddr],
        found: &mut Found,
    ) {
        let own = match asked.target.host() {
            Host::Addr(addr) => Some(*addr),
            Host::Name(_) => None,
        };
        let each = match &own {
            Some(addr) => std::slice::from_ref(addr),
            None => addrs,
        };
        for addr in each {
            self.address(asked, verdicts, *addr, own.is_none(), found);
        }
    }

    fn address(
        &self,
        asked: &Asked,
        [first, second]: &[RequestVerdict; 2],
        addr: IpAddr,
        resolved: bool,
        found: &mut Found,
    ) {
        let target = &asked.target;
        let local = LocalAddrs::default();
        let before = self.before.admit_addr(target, *first, addr, &local);
        let after = self.after.admit_addr(target, *second, addr, &local);
        let shown = resolved.then_some(addr);
        let verdicts = [before, after].map(|verdict| (verdict.action, verdict.reason));
        if before.action != after.action {
            let causes = self.causes([before.reason, after.reason]);
            let change = change(before.action);
            found.add(change, asked, shown, causes, || self.answers(verdicts));
        } else if before.action.is_allow() {
            let tunnel = |policy: &Policy| match policy.carriage(target, addr) {
                Carriage::Tunnel(rule) => Some(policy.describe(Reason::Rule(rule))),
                Carriage::Intercept => None,
            };
            let carriages = self.both().map(tunnel);
            let change = match &carriages {
                [None, Some(_)] => Change::NoLongerRead,
                [Some(_), None] => Change::NowRead,
                [None, None] | [Some(_), Some(_)] => return,
            };
            let causes = carriages.map(|rule| match rule {
                Some(rule) => format!("tunnelled unread by {rule}"),
                None => "intercepted".to_owned(),
            });
            let answers = || self.answers_because(verdicts, causes.clone());
            found.add(change, asked, shown, causes.clone(), answers);
        }
    }
}

fn cause(policy: &Policy, reason: Reason) -> String {
    let code = reason.code();
    let Some(id) = reason.rule() else {
        return code.to_owned();
    };
    match (policy.rule_at(id).as_deref(), id.as_listed()) {
        (
            Some(Rule {
                origin: Origin::File { source, .. },
                ..
            }),
            Some(_),
        ) => {
            format!("{code} list {source}")
        }
        (Some(rule), None) if rule.origin != Origin::BuiltIn => format!("{code} {rule}"),
        _ => code.to_owned(),
    }
}

fn change(before: Action) -> Change {
    match before {
        Action::Deny => Change::NewlyAllowed,
        Action::Allow => Change::NewlyDenied,
    }
}

/// What holds for an allowed request besides, without where it is written.
fn terms(policy: &Policy, asked: &Asked) -> Vec<String> {
    let limit = policy.limit(&asked.target);
    let limit = limit.map(|limit| format!("limit {} {}", limit.pattern, limit.rate));
    let budgets = policy.budgets(&asked.target).map(ToString::to_string);
    let injections = policy
        .injections(&asked.target)
        .filter(|injection| injection.covers_path(&asked.path))
        .map(|injection| format!("inject {}", injection.credential));
    let mut terms: Vec<_> = limit.into_iter().chain(budgets).chain(injections).collect();
    terms.sort_unstable();
    terms
}

/// Witnesses, one for each pair of causes.
#[derive(Default)]
struct Found {
    list: Vec<Difference>,
    causes: HashMap<(Change, String, String), usize>,
}

impl Found {
    fn add(
        &mut self,
        change: Change,
        asked: &Asked,
        address: Option<IpAddr>,
        [before, after]: [String; 2],
        answers: impl FnOnce() -> [Answer; 2],
    ) {
        let cause = (change, before, after);
        if let Some(difference) = self
            .causes
            .get(&cause)
            .and_then(|at| self.list.get_mut(*at))
        {
            difference.more += 1;
            return;
        }
        self.causes.insert(cause, self.list.len());
        let [before, after] = answers();
        self.list.push(Difference {
            change,
            method: asked.method.clone(),
            url: asked.url(),
            address,
            before,
            after,
            more: 0,
        });
    }

    fn into_list(mut self) -> Vec<Difference> {
        self.list
            .sort_by(|a, b| (a.change, &a.url).cmp(&(b.change, &b.url)));
        self.list
    }
}

impl Policy {
    /// What bypass rules about hosts say, whatever the address. `None` where requests must be read.
    fn host_carriage(&self, target: &Target) -> Option<Carriage> {
        // An address in no network of a rule: the unspecified one is nobody's.
        let bypass_net = |effect: &Effect| matches!(effect, Effect::BypassNet(_));
        let outside = std::net::Ipv6Addr::UNSPECIFIED;
        let by_net = self.rules().iter().any(|rule| bypass_net(&rule.effect));
        (!by_net).then(|| self.carriage(target, outside.into()))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.change, self.method, self.url)?;
        if let Some(address) = self.address {
            write!(f, " at {address}")?;
        }
        if self.more > 0 {
            write!(f, " (and {} more alike)", self.more)?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "  before: {}: {}",
            self.before.action, self.before.because
        )?;
        writeln!(f, "  after:  {}: {}", self.after.action, self.after.because)
    }
}
