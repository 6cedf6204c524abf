//! Verdicts told at length.

mod show;

use crate::{
    Action, Carriage, Effect, Host, HostVerdict, Injection, LocalAddrs, Policy, Reason,
    RequestPath, RequestVerdict, RuleId, Target, embedded::judged,
};
use serde::Serialize;
use std::net::IpAddr;

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
    /// One entry for each address, in the order given: what becomes of the request there, if one was asked about and
    /// is allowed, and of some request otherwise.
    pub addresses: Vec<AddrExplanation>,
    /// The request, if one was asked about.
    pub request: Option<RequestExplanation>,
    /// The limit that counts.
    pub limit: Option<String>,
    /// The budgets that count.
    pub budgets: Vec<String>,
    /// What is set from credentials.
    pub credentials: Vec<CredentialExplanation>,
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
    /// It names other methods.
    OtherMethod,
    /// It names other paths.
    OtherPath,
    /// It is about a name above this one, and an exact name does not cover its subdomains.
    NotSubdomains,
    /// It is about the names below this one, and a wildcard does not cover the name itself.
    NotApex,
    /// It covers the address, but CIDR rules do not count for this connection.
    Skipped,
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

/// A credential of the policy that is for this target. Never its value.
#[derive(Debug, Clone, Serialize)]
pub struct CredentialExplanation {
    /// The header, parameter or field that is set.
    pub sets: String,
    /// Where the secret comes from.
    pub from: String,
    /// The paths it is for; `None` is every path.
    pub path: Option<String>,
    /// Whether it is set on the request asked about; `None` if none was.
    pub applies: Option<bool>,
    /// File, line and column, or `built in`.
    pub origin: String,
    /// Whether it is set only if whoever starts the proxy hands it over, which the policy cannot tell.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub if_handed: bool,
}

impl From<&Injection> for CredentialExplanation {
    fn from(injection: &Injection) -> Self {
        Self {
            sets: injection.credential.place.to_string(),
            from: injection.credential.from.to_string(),
            path: injection.credential.path.as_ref().map(ToString::to_string),
            applies: None,
            origin: injection.origin.to_string(),
            if_handed: false,
        }
    }
}

/// What the rules about requests say about one request.
#[derive(Debug, Clone, Serialize)]
pub struct RequestExplanation {
    /// The method.
    pub method: String,
    /// The canonical path, or the path as given if it has none.
    pub path: String,
    /// How other servers may read the path: those that do not resolve it, take `%2F` for a slash or cut `;x` off. They
    /// are judged, too.
    pub other_paths: Vec<String>,
    /// Whether the request may be sent.
    pub action: Action,
    /// [`Reason::code`] of that.
    pub reason: &'static str,
    /// The same as a sentence.
    pub because: String,
    /// Every rule about some requests or all of them that covers the target, most specific first.
    pub candidates: Vec<Candidate>,
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
        let canonical = RequestPath::parse(path).ok();
        let mut explanation = match verdict.action {
            Action::Allow => self.explain_as(target, verdict, addrs, local),
            Action::Deny => self.explain(target, addrs, local),
        };
        if !verdict.action.is_allow() {
            explanation.action = Action::Deny;
        }
        for (credential, injection) in explanation
            .credentials
            .iter_mut()
            .zip(self.injections(target))
        {
            credential.applies = Some(injection.covers_path(path));
        }
        let candidates = canonical
            .as_ref()
            .map(|path| self.request_candidates(target, (method, path), verdict.reason));
        explanation.request = Some(RequestExplanation {
            method: method.to_owned(),
            path: canonical
                .as_ref()
                .map_or(path, RequestPath::as_str)
                .to_owned(),
            other_paths: canonical
                .iter()
                .flat_map(RequestPath::other_readings)
                .map(ToOwned::to_owned)
                .collect(),
            action: verdict.action,
            reason: verdict.reason.code(),
            because: self.describe(verdict.reason),
            candidates: candidates.unwrap_or_default(),
        });
        explanation
    }

    /// Asks [`Policy::admit_host`], [`Policy::admit_addr`] and [`Policy::carriage`], and tells what they looked at.
    pub fn explain(&self, target: &Target, addrs: &[IpAddr], local: &LocalAddrs) -> Explanation {
        self.explain_as(target, self.admit_host(target).into(), addrs, local)
    }

    /// The same, with addresses for what `verdict` is about.
    fn explain_as(
        &self,
        target: &Target,
        verdict: RequestVerdict,
        addrs: &[IpAddr],
        local: &LocalAddrs,
    ) -> Explanation {
        let host = self.admit_host(target);
        let addresses: Vec<_> = addrs
            .iter()
            .map(|addr| self.explain_addr(target, verdict, *addr, local))
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
                .map(CredentialExplanation::from)
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

    /// What became of each rule that covers host and port, for one request.
    fn request_candidates(
        &self,
        target: &Target,
        (method, path): (&str, &RequestPath),
        reason: Reason,
    ) -> Vec<Candidate> {
        let covering = self.host_table().about(target.host());
        let covering = covering.filter(|slot| slot.covers(target.port()));
        let candidates = covering.map(|slot| {
            let outcome = match slot.request {
                _ if Some(slot.rule) == reason.rule() => Outcome::Decides,
                Some(request) if !request.has_method(method) => Outcome::OtherMethod,
                Some(request) if !request.has_path(path) => Outcome::OtherPath,
                _ => self.outcome(slot.rule, reason.rule()),
            };
            self.candidate(slot.rule, outcome)
        });
        candidates.flatten().collect()
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
        asked: RequestVerdict,
        addr: IpAddr,
        local: &LocalAddrs,
    ) -> AddrExplanation {
        let verdict = self.admit_addr(target, asked, addr, local);
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
