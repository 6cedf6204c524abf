//! Verdicts told at length.

use crate::{
    Action, Carriage, Effect, Host, HostVerdict, LocalAddrs, Origin, Policy, Reason, RequestPath,
    RuleId, Target, embedded::judged, quote::Quoted,
};
use serde::Serialize;
use std::{fmt, net::IpAddr};

/// All that a policy has to say about one target and the addresses it resolved to.
///
/// `Display` is for people, `Serialize` for `--json`.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The canonical target.
    pub target: Target,
    /// Whether a connection would be made: the host is admitted and, if addresses are known, one of them is.
    pub action: Action,
    /// Whether the host is admitted.
    pub host: Action,
    /// [`Reason::code`] of that.
    pub reason: &'static str,
    /// The same as a sentence.
    pub because: String,
    /// Every host rule about this target or a near relation, most specific first.
    pub candidates: Vec<Candidate>,
    /// One entry for each address, in the order given.
    pub addresses: Vec<AddrExplanation>,
    /// The request, if one was asked about.
    pub request: Option<RequestExplanation>,
    /// The limit that counts.
    pub limit: Option<String>,
    /// The budgets that count.
    pub budgets: Vec<String>,
    /// Headers, parameters and fields that are set from credentials.
    pub credentials: Vec<String>,
    /// [`Policy::digest`] of the policy.
    pub policy: String,
}

/// One rule that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    /// The rule in the policy language.
    pub rule: String,
    /// File, line and column, or `built in`.
    pub origin: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It decided.
    Decides,
    /// It has the same pattern or network as the rule that decided; a block wins over an allow.
    Overruled,
    /// It covers the target, and so does a more specific rule.
    LessSpecific,
    /// It blocks some requests only, and leaves the host to the next rule.
    SomeRequests,
    /// It names another port.
    OtherPort,
    /// It is about a name above this one, and an exact name does not cover its subdomains.
    NotSubdomains,
    /// It is about the names below this one, and a wildcard does not cover the name itself.
    NotApex,
    /// It covers the address, but CIDR rules do not count for this connection.
    Skipped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decides => "decides",
            Self::Overruled => "loses: same pattern, and a block wins",
            Self::LessSpecific => "loses: less specific",
            Self::SomeRequests => "blocks some requests only",
            Self::OtherPort => "does not match: another port",
            Self::NotSubdomains => "does not match: an exact name does not cover its subdomains",
            Self::NotApex => "does not match: a wildcard does not cover the name itself",
            Self::Skipped => "does not count here",
        })
    }
}

/// What the address phase says about one address.
#[derive(Debug, Clone, Serialize)]
pub struct AddrExplanation {
    /// The address.
    pub addr: IpAddr,
    /// The IPv4 addresses embedded in it, judged as well.
    pub embedded: Vec<IpAddr>,
    /// Whether a connection may go there.
    pub action: Action,
    /// [`Reason::code`] of that.
    pub reason: &'static str,
    /// The same as a sentence.
    pub because: String,
    /// Every CIDR rule that contains it, longest first.
    pub candidates: Vec<Candidate>,
    /// The bypass rule by which the connection would be tunnelled unread; `None` if it is intercepted.
    pub bypass: Option<String>,
}

/// What the rules about requests say about one request.
#[derive(Debug, Clone, Serialize)]
pub struct RequestExplanation {
    /// The method.
    pub method: String,
    /// The canonical path, or the path as given if it has none.
    pub path: String,
    /// Whether the request may be sent.
    pub action: Action,
    /// [`Reason::code`] of that.
    pub reason: &'static str,
    /// The same as a sentence.
    pub because: String,
}

impl Policy {
    /// [`Policy::explain`], and [`Policy::admit_request`] for one request (path and query in origin form).
    pub fn explain_request(
        &self,
        target: &Target,
        (method, path): (&str, &str),
        addrs: &[IpAddr],
        local: &LocalAddrs,
    ) -> Explanation {
        let verdict = self.admit_request(target, method, path);
        let canonical = RequestPath::parse(path);
        let mut explanation = self.explain(target, addrs, local);
        if !verdict.action.is_allow() {
            explanation.action = Action::Deny;
        }
        explanation.request = Some(RequestExplanation {
            method: method.to_owned(),
            path: canonical.map_or_else(|_| path.to_owned(), |path| path.as_str().to_owned()),
            action: verdict.action,
            reason: verdict.reason.code(),
            because: self.describe(verdict.reason),
        });
        explanation
    }

    /// Asks [`Policy::admit_host`], [`Policy::admit_addr`] and [`Policy::carriage`], and tells what they looked at.
    pub fn explain(&self, target: &Target, addrs: &[IpAddr], local: &LocalAddrs) -> Explanation {
        let host = self.admit_host(target);
        let addresses: Vec<_> = addrs
            .iter()
            .map(|addr| self.explain_addr(target, &host, *addr, local))
            .collect();
        let reachable = addresses.is_empty() || addresses.iter().any(|a| a.action.is_allow());
        Explanation {
            action: match host.action.is_allow() && reachable {
                true => Action::Allow,
                false => Action::Deny,
            },
            target: target.clone(),
            host: host.action,
            reason: host.reason.code(),
            because: self.describe(host.reason),
            candidates: self.host_candidates(target, &host),
            addresses,
            request: None,
            limit: self
                .limit(target)
                .map(|limit| format!("limit {} {} ({})", limit.pattern, limit.rate, limit.origin)),
            budgets: self
                .budgets(target)
                .map(|budget| format!("{budget} ({})", budget.origin))
                .collect(),
            credentials: self
                .injections(target)
                .map(|injection| injection.credential.place.to_string())
                .collect(),
            policy: self.digest().to_string(),
        }
    }

    fn host_candidates(&self, target: &Target, host: &HostVerdict) -> Vec<Candidate> {
        let winner = host.reason.rule();
        let inner = self.embedded_hosts(target);
        let about = self
            .host_table()
            .about(target.host())
            .chain(inner.iter().flat_map(|host| self.host_table().exact(host)));
        let near = self.host_table().near(target.host());
        let covering = about.map(|slot| {
            let outcome = match (slot.covers(target.port()), slot.request) {
                (false, _) => Outcome::OtherPort,
                (true, Some(_)) if !slot.action.is_allow() => Outcome::SomeRequests,
                (true, _) => self.outcome(slot.rule, winner),
            };
            self.candidate(slot.rule, outcome)
        });
        let near = near.map(|slot| self.candidate(slot.rule, self.miss(slot.rule)));
        covering.chain(near).flatten().collect()
    }

    /// The IPv4 addresses embedded in a literal, whose blocks [`Policy::admit_host`] heeds as well.
    fn embedded_hosts(&self, target: &Target) -> Vec<Host> {
        match target.host() {
            Host::Addr(addr) => judged(*addr).skip(1).map(Host::Addr).collect(),
            Host::Name(_) => Vec::new(),
        }
    }

    fn explain_addr(
        &self,
        target: &Target,
        host: &HostVerdict,
        addr: IpAddr,
        local: &LocalAddrs,
    ) -> AddrExplanation {
        let verdict = self.admit_addr(target, host, addr, local);
        let winner = match verdict.reason {
            Reason::Net { rule, .. } | Reason::Lifted(rule) => Some(rule),
            _ => None,
        };
        let mut candidates = Vec::new();
        for rule in judged(addr).flat_map(|judged| self.nets_around(judged)) {
            let outcome = match winner {
                Some(_) => self.outcome(rule, winner),
                None => Outcome::Skipped,
            };
            candidates.extend(self.candidate(rule, outcome));
        }
        AddrExplanation {
            addr,
            embedded: judged(addr).skip(1).collect(),
            action: verdict.action,
            reason: verdict.reason.code(),
            because: self.describe(verdict.reason),
            candidates,
            bypass: match self.carriage(target, addr) {
                Carriage::Intercept => None,
                Carriage::Tunnel(rule) => self.rule_at(rule).map(|rule| rule.to_string()),
            },
        }
    }

    fn candidate(&self, id: RuleId, outcome: Outcome) -> Option<Candidate> {
        self.rule_at(id).map(|rule| Candidate {
            rule: rule.effect.to_string(),
            origin: rule.origin.to_string(),
            outcome,
        })
    }

    fn outcome(&self, id: RuleId, winner: Option<RuleId>) -> Outcome {
        if Some(id) == winner {
            return Outcome::Decides;
        }
        let same = winner.is_some_and(|winner| match (self.rule_at(winner), self.rule_at(id)) {
            (Some(winner), Some(other)) => same_subject(&winner.effect, &other.effect),
            _ => false,
        });
        match same {
            true => Outcome::Overruled,
            false => Outcome::LessSpecific,
        }
    }

    fn miss(&self, id: RuleId) -> Outcome {
        match self.rule_at(id).as_deref().map(|rule| &rule.effect) {
            Some(Effect::Host(_, pattern) | Effect::Request(_, pattern, _))
                if pattern.tier() == crate::Tier::Wildcard =>
            {
                Outcome::NotApex
            }
            _ => Outcome::NotSubdomains,
        }
    }
}

fn same_subject(left: &Effect, right: &Effect) -> bool {
    match (left, right) {
        (Effect::Host(_, left), Effect::Host(_, right)) => left == right,
        (Effect::Request(_, left, a), Effect::Request(_, right, b)) => (left, a) == (right, b),
        (Effect::Net(_, left), Effect::Net(_, right)) => left == right,
        _ => false,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.action, self.target)?;
        writeln!(f, "host: {}: {}", self.host, self.because)?;
        write_candidates(f, &self.candidates)?;
        for address in &self.addresses {
            write!(f, "{address}")?;
        }
        if let Some(request) = &self.request {
            let (method, path) = (Quoted(&request.method), Quoted(&request.path));
            writeln!(
                f,
                "request {method} {path}: {}: {}",
                request.action, request.because
            )?;
        }
        if let Some(limit) = &self.limit {
            writeln!(f, "limited by {limit}")?;
        }
        for budget in &self.budgets {
            writeln!(f, "limited by {budget}")?;
        }
        for place in &self.credentials {
            writeln!(f, "{place} is set from a credential")?;
        }
        Ok(())
    }
}

impl fmt::Display for AddrExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "address {}: {}: {}",
            self.addr, self.action, self.because
        )?;
        write_candidates(f, &self.candidates)?;
        match &self.bypass {
            Some(rule) => writeln!(f, "  carriage: tunnelled unread by rule {rule}"),
            None => writeln!(f, "  carriage: intercepted"),
        }
    }
}

fn write_candidates(f: &mut fmt::Formatter<'_>, candidates: &[Candidate]) -> fmt::Result {
    let rules: Vec<_> = candidates
        .iter()
        .map(|c| format!("{} ({})", c.rule, c.origin))
        .collect();
    let width = rules
        .iter()
        .map(|rule| rule.chars().count())
        .max()
        .unwrap_or(0);
    for (rule, candidate) in rules.iter().zip(candidates) {
        writeln!(f, "  {rule:width$}  {}", candidate.outcome)?;
    }
    Ok(())
}

/// The origin of a rule, for callers that show it apart.
impl Origin {
    /// The line, where there is one.
    pub fn line(&self) -> Option<u32> {
        match self {
            Self::BuiltIn => None,
            Self::File { at, .. } => Some(at.line),
        }
    }
}
