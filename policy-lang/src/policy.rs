//! A policy, compiled for questions.

mod digest;
mod words;

use crate::{
    Action, AddrVerdict, Allowance, Budget, Carriage, Effect, Expectation, Host, HostPattern,
    HostVerdict, Injection, Limit, LocalAddrs, Net, Origin, Reach, Reason, RequestPath,
    RequestPattern, RequestVerdict, Rule, RuleId, Target,
    embedded::judged,
    language::NetDefault,
    matcher::{Author, Decided, HostTable, NetRule, NetTable, View},
    model::Model,
    rule_id::ListMark,
    special,
};
use std::{borrow::Cow, cmp::Reverse, net::IpAddr};

pub use digest::Digest;

/// The rules of one sandbox, immutable.
///
/// Build one with [`crate::config::Document::compile`].
#[derive(Debug)]
pub struct Policy {
    default: Action,
    rules: Vec<Rule>,
    hosts: HostTable,
    nets: NetTable,
    bypass_hosts: HostTable,
    bypass_nets: NetTable,
    /// Most specific first.
    limits: Vec<Limit>,
    /// Most specific first.
    budgets: Vec<Budget>,
    injections: Vec<Injection>,
    expectations: Vec<Expectation>,
    digest: Digest,
}

impl Policy {
    /// The policy that denies every host: what holds while no valid policy has been read.
    pub fn deny_all() -> Self {
        Self::new(Model::default())
    }

    /// Compiles a model. What nobody decided is denied, and documented private networks are blocked.
    pub(crate) fn new(model: Model) -> Self {
        let digest = Digest::of(&model);
        let private: &[&str] = match model.net_default {
            None | Some((NetDefault::Private, _)) => &special::DOCKER_BLOCKED,
            Some((NetDefault::Open, _)) => &[],
        };
        let built_in = special::networks(private)
            .chain(special::networks(&special::FLOOR))
            .map(|(text, net)| Rule {
                text: text.into(),
                effect: Effect::Net(Action::Deny, Net::from(net)),
                origin: Origin::BuiltIn,
            });
        let rules: Vec<Rule> = model.rules.into_iter().chain(built_in).collect();
        let numbered = || (0..).map(RuleId).zip(&rules);
        let hosts = numbered().filter_map(|(id, rule)| match &rule.effect {
            Effect::Host(action, pattern) => Some((id, *action, pattern, None)),
            Effect::Request(action, pattern, request) => {
                Some((id, *action, pattern, Some(request)))
            }
            Effect::Net(..) | Effect::BypassHost(_) | Effect::BypassNet(_) => None,
        });
        let bypasses = numbered().filter_map(|(id, rule)| match &rule.effect {
            Effect::BypassHost(pattern) => Some((id, Action::Allow, pattern, None)),
            _ => None,
        });
        let mut limits = model.limits;
        limits.sort_by_key(|limit| limit.pattern.order());
        let mut budgets = model.budgets;
        budgets.sort_by_key(|budget| budget.pattern.order());
        Self {
            default: model.default.map_or(Action::Deny, |(action, _)| action),
            hosts: HostTable::new(hosts, model.lists, ListMark::Hosts, model.key),
            nets: NetTable::new(numbered().filter_map(net_rule)),
            bypass_hosts: HostTable::new(bypasses, model.bypass_lists, ListMark::Bypass, model.key),
            bypass_nets: NetTable::new(numbered().filter_map(bypass_net_rule)),
            rules,
            limits,
            budgets,
            injections: model.injections,
            expectations: model.expectations,
            digest,
        }
    }

    /// May `target` be asked for? Decided before any name is resolved.
    ///
    /// Where rules are about some requests only, it may if one of them might allow a request.
    pub fn admit_host(&self, target: &Target) -> HostVerdict {
        let own = self.decide_host(target.host(), target);
        match target.host() {
            Host::Addr(addr) if own.action.is_allow() => {
                self.embedded_block(*addr, target).unwrap_or(own)
            }
            Host::Addr(_) | Host::Name(_) => own,
        }
    }

    fn decide_host(&self, host: &Host, target: &Target) -> HostVerdict {
        let Decided { by, by_request } = self.hosts.decide(host, target.port());
        match by {
            Some((rule, action, tier)) => HostVerdict {
                action,
                reason: Reason::Rule(rule),
                tier: Some(tier),
                by_request,
            },
            None => HostVerdict {
                action: self.default,
                reason: Reason::Default,
                tier: None,
                by_request,
            },
        }
    }

    /// Rules about `host` and the target's port, most specific first.
    fn covering<'p>(
        &'p self,
        host: &Host,
        target: &Target,
    ) -> impl Iterator<Item = View<'p>> + use<'p> {
        let port = target.port();
        self.hosts.about(host).filter(move |view| view.covers(port))
    }

    /// A literal that embeds an IPv4 address is refused where a rule blocks exactly that IPv4 address.
    fn embedded_block(&self, addr: IpAddr, target: &Target) -> Option<HostVerdict> {
        judged(addr)
            .skip(1)
            .map(|inner| self.decide_host(&Host::Addr(inner), target))
            .find(|verdict| !verdict.action.is_allow() && verdict.reach().is_explicit())
    }

    /// May a request with this method and target in origin form (path and query) be sent to `target`?
    ///
    /// Every request must be asked about, on plain HTTP and inside interception. Where no rule is about
    /// requests the answer is that of [`Policy::admit_host`], whatever the path.
    pub fn admit_request(&self, target: &Target, method: &str, path: &str) -> RequestVerdict {
        let host = self.admit_host(target);
        if !host.action.is_allow() || !host.by_request {
            return host.into();
        }
        let odd = |reason| RequestVerdict {
            action: Action::Deny,
            reason,
            reach: Reach::Open,
        };
        // Rules are in upper case, and so is what many servers make of it (RFC 9110 §9.1 has them tell cases apart).
        if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return odd(Reason::OddMethod);
        }
        let Ok(path) = RequestPath::parse(path) else {
            return odd(Reason::OddPath);
        };
        let (mut verdict, pattern) = self.decide_request(target, method, path.as_str());
        let meant = spells_out(pattern, path.as_str());
        let divided = path.divided().filter(|_| !meant);
        for reading in path.unresolved().chain(divided) {
            if !verdict.action.is_allow() {
                break;
            }
            let (other, _) = self.decide_request(target, method, reading);
            verdict = match other.action {
                // Nobody knows by which of the two it is served.
                Action::Allow => verdict.within(other.reach),
                Action::Deny => other,
            };
        }
        verdict
    }

    fn decide_request<'p>(
        &'p self,
        target: &Target,
        method: &str,
        path: &str,
    ) -> (RequestVerdict, Option<&'p RequestPattern>) {
        let slot = self.covering(target.host(), target).find(|slot| {
            slot.request
                .is_none_or(|request| request.covers(method, path))
        });
        let (action, reason) = match slot {
            Some(slot) => (slot.action, Reason::Rule(slot.rule)),
            None => (self.default, Reason::Default),
        };
        let verdict = RequestVerdict {
            action,
            reason,
            reach: Reach::of(slot.map(|slot| slot.tier)),
        };
        (verdict, slot.and_then(|slot| slot.request))
    }

    /// May what `verdict` allowed go to `addr`, which the target's name resolved to (or which is the target's
    /// literal)?
    ///
    /// A request is held to the verdict on itself: another rule may open addresses for other requests to its host.
    /// Only where there is none, as for a tunnel that nobody reads, is it the verdict on the host.
    pub fn admit_addr(
        &self,
        target: &Target,
        verdict: impl Into<RequestVerdict>,
        addr: IpAddr,
        local: &LocalAddrs,
    ) -> AddrVerdict {
        let deny = |reason| AddrVerdict {
            action: Action::Deny,
            reason,
        };
        let allow = |reason| AddrVerdict {
            action: Action::Allow,
            reason,
        };
        let verdict = verdict.into();
        if !verdict.action.is_allow() {
            return deny(verdict.reason);
        }
        if let Some(reason) = guarded(target, verdict.reach, addr, local) {
            return deny(reason);
        }
        match verdict.reason.rule() {
            Some(rule) if verdict.reach.is_explicit() => allow(Reason::Explicit(rule)),
            _ => match self.decide_nets(addr) {
                Err(reason) => deny(reason),
                Ok(reason) => allow(reason),
            },
        }
    }

    /// What the CIDR rules say about the address and all it embeds; every one of them must pass.
    fn decide_nets(&self, addr: IpAddr) -> Result<Reason, Reason> {
        let mut reason = Reason::Unblocked;
        for judged in judged(addr) {
            let Some((rule, action)) = self.nets.longest(judged) else {
                continue;
            };
            match action {
                Action::Deny => return Err(Reason::Net { rule, judged }),
                Action::Allow => reason = Reason::Lifted(rule),
            }
        }
        Ok(reason)
    }

    /// How the traffic of an admitted connection is carried. Grants nothing.
    ///
    /// Traffic that a rule about requests covers is read, even where a bypass covers its address.
    pub fn carriage(&self, target: &Target, addr: IpAddr) -> Carriage {
        self.carried(target, || {
            let longest = self.bypass_nets.longest(addr.to_canonical());
            longest.map(|(rule, _)| rule)
        })
    }

    /// The same where nobody here knows the address: what rules about hosts say.
    pub fn carriage_of_name(&self, target: &Target) -> Carriage {
        self.carried(target, || None)
    }

    fn carried(&self, target: &Target, by_net: impl FnOnce() -> Option<RuleId>) -> Carriage {
        if self.decide_host(target.host(), target).by_request {
            return Carriage::Intercept;
        }
        let bypass = self.bypass_hosts.decide(target.host(), target.port());
        let by_host = bypass.by.map(|(rule, ..)| rule);
        by_host
            .or_else(by_net)
            .map_or(Carriage::Intercept, Carriage::Tunnel)
    }

    /// How often `target` may be asked: the most specific limit that covers it.
    pub fn limit(&self, target: &Target) -> Option<&Limit> {
        self.limits
            .iter()
            .find(|limit| limit.pattern.covers(target))
    }

    /// What `target` may use up: the most specific budget of each kind that covers it.
    pub fn budgets(&self, target: &Target) -> impl Iterator<Item = &Budget> {
        let mut kinds = Vec::new();
        self.budgets.iter().filter(move |budget| {
            if !budget.pattern.covers(target) {
                return false;
            }
            let kind = match budget.allowance {
                Allowance::Names { .. } => None,
                Allowance::Bytes(bytes) => Some(bytes.way),
            };
            let first = !kinds.contains(&kind);
            kinds.push(kind);
            first
        })
    }

    /// The credentials to set on requests to `target`, sent over verified TLS only.
    pub fn injections(&self, target: &Target) -> impl Iterator<Item = &Injection> {
        let covers = |injection: &&Injection| injection.pattern.covers(target);
        self.injections.iter().filter(covers)
    }

    /// Every credential of the policy.
    pub fn all_injections(&self) -> &[Injection] {
        &self.injections
    }

    /// The tests that the policy carries with it.
    pub fn expectations(&self) -> &[Expectation] {
        &self.expectations
    }

    /// The verdict on an expectation's request, as far as it can be known without resolving a name.
    pub fn verdict_on(&self, expectation: &Expectation) -> RequestVerdict {
        self.admit_request(&expectation.target, &expectation.method, expectation.path())
    }

    /// The verdict where no host rule covers the target.
    pub fn default_action(&self) -> Action {
        self.default
    }

    /// The rule that a verdict of this policy names, unless it is a name of a list file; see
    /// [`Policy::rule_at`].
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.index())
    }

    /// The rule that a verdict of this policy names.
    ///
    /// A name of a list file is not kept as a rule (a million of them would be large); it is read from the
    /// file's text, and its line counted, when it is asked for.
    pub fn rule_at(&self, id: RuleId) -> Option<Cow<'_, Rule>> {
        let Some((mark, offset)) = id.as_listed() else {
            return self.rule(id).map(Cow::Borrowed);
        };
        let listed = match mark {
            ListMark::Hosts => self.hosts.listed(offset),
            ListMark::Bypass => self.bypass_hosts.listed(offset),
        };
        listed.map(Cow::Owned)
    }

    /// Every rule but the names of list files, the built-in ones last.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// How many names its list files have, each file counted for itself.
    ///
    /// COST: for a million names, a walk through 12 MB.
    pub fn listed_names(&self) -> usize {
        self.hosts.listed_names() + self.bypass_hosts.listed_names()
    }

    /// Names what the policy means: equal for equal rules in any order, spelling or file. List files count by
    /// their bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn host_table(&self) -> &HostTable {
        &self.hosts
    }

    /// Every CIDR rule whose network contains `addr`, in the order in which they count.
    ///
    /// COST: a look at every rule; for explanations.
    pub(crate) fn nets_around(&self, addr: IpAddr) -> Vec<RuleId> {
        let rules = (0..).map(RuleId).zip(&self.rules).filter_map(net_rule);
        let mut around: Vec<_> = rules.filter(|(_, _, net, _)| net.contains(addr)).collect();
        around.sort_by_key(|(_, _, net, author)| (Reverse(net.prefix_len()), *author));
        around.into_iter().map(|(id, ..)| id).collect()
    }

    pub(crate) fn bypass_table(&self) -> &HostTable {
        &self.bypass_hosts
    }

    /// The texts of list files, each with what it does: `+` allows, `-` blocks, `/` bypasses.
    pub(crate) fn list_texts(&self) -> impl Iterator<Item = (char, String)> {
        let hosts = self.hosts.list_texts().map(|(action, text)| match action {
            Action::Allow => ('+', text.into_owned()),
            Action::Deny => ('-', text.into_owned()),
        });
        let bypasses = self.bypass_hosts.list_texts();
        hosts.chain(bypasses.map(|(_, text)| ('/', text.into_owned())))
    }

    /// The hosts of limits, budgets and credentials.
    pub(crate) fn term_patterns(&self) -> impl Iterator<Item = &HostPattern> {
        let limits = self.limits.iter().map(|limit| &limit.pattern);
        let budgets = self.budgets.iter().map(|budget| &budget.pattern);
        let injections = self.injections.iter().map(|injection| &injection.pattern);
        limits.chain(budgets).chain(injections)
    }
}

/// A rule about networks for [`NetTable::new`].
fn net_rule((id, rule): (RuleId, &Rule)) -> Option<NetRule> {
    let Effect::Net(action, net) = &rule.effect else {
        return None;
    };
    let author = match (&rule.origin, action) {
        (Origin::BuiltIn, _) => Author::BuiltIn,
        (Origin::File { .. }, Action::Deny) => Author::Blocker,
        (Origin::File { .. }, Action::Allow) => Author::Allower,
    };
    Some((id, *action, *net, author))
}

fn bypass_net_rule((id, rule): (RuleId, &Rule)) -> Option<NetRule> {
    match &rule.effect {
        Effect::BypassNet(net) => Some((id, Action::Allow, *net, Author::Allower)),
        _ => None,
    }
}

/// Whether the rule that allowed the plain reading names each ambiguous segment, so that the other reading
/// does not matter.
fn spells_out(pattern: Option<&RequestPattern>, path: &str) -> bool {
    pattern
        .and_then(|pattern| pattern.path.as_ref())
        .is_some_and(|pattern| pattern.spells_out(path))
}

/// Addresses that no CIDR rule opens.
fn guarded(target: &Target, reach: Reach, addr: IpAddr, local: &LocalAddrs) -> Option<Reason> {
    let own = judged(addr).find_map(|judged| local.listener_at(judged, target.port()));
    if let Some(listener) = own {
        return Some(Reason::OwnListener(listener));
    }
    let literal = *target.host() == Host::Addr(addr.to_canonical());
    if !(literal && reach.is_explicit())
        && let Some(judged) = judged(addr).find(|judged| special::is_metadata(*judged))
    {
        return Some(Reason::Metadata { judged });
    }
    if reach == Reach::ThisMachine {
        return None;
    }
    judged(addr)
        .find(|judged| special::is_loopback(*judged) || local.contains(*judged))
        .map(|judged| Reason::ThisMachine { judged })
}
