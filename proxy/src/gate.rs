//! The one place where permission to connect is made.

mod permit;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use policy_lang::{
    Action, Carriage, Effect, Host, HostVerdict, Origin, Policy, Reach, Reason, RequestVerdict,
    Target,
};

use crate::audit::RuleRef;
use crate::budgets::Budgets;
use crate::budgets::meter::Spent;
use crate::live::{Live, Snapshot};
use crate::local::Local;
use crate::resolve::{Resolve, ResolveError};
use crate::upstream::parent::Parents;

pub(crate) use permit::Permit;

/// Targets whose addresses are kept. COST: about 1 KiB each.
const ROUTES: NonZeroUsize = NonZeroUsize::new(512).unwrap();

/// A kept route is used at least this long: a time to live of zero must not mean a question for each request.
const MIN_TTL: Duration = Duration::from_secs(1);

/// And at most this long: whoever moves a name should not have to wait for an hour.
const MAX_TTL: Duration = Duration::from_secs(30);

/// How long a name goes to a parent before it is looked up here again. COST: where no name server answers, the next request
/// then waits for that.
const UNRESOLVED_TTL: Duration = MAX_TTL;

/// A target that was admitted: where its connections may go and how they are carried.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) target: Target,
    /// At least one, all to be carried the same way, in the order to try them.
    pub(crate) permits: Vec<Permit>,
    /// True if the policy says to pass bytes on unread.
    pub(crate) bypass: bool,
    /// Which addresses the rule opens for which they were judged.
    pub(crate) reach: Reach,
    /// Whether rules about some requests come into it.
    pub(crate) by_request: bool,
    pub(crate) verdict: Arc<Ruling>,
    reason: Reason,
    /// Addresses that were dropped, each with its reason.
    pub(crate) dropped: Vec<String>,
    /// Why the name has no address here, where a parent is to resolve it. There is one permit then, without an address.
    pub(crate) unresolved: Option<ResolveError>,
}

/// A verdict in words: what a log line and a denial tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) code: &'static str,
    pub(crate) sentence: String,
    pub(crate) rule: Option<RuleRef>,
    /// The pattern to remove, where a rule blocks exactly this host.
    pub(crate) blocked_by: Option<String>,
    /// An allowed host that may have been meant.
    pub(crate) nearest: Option<String>,
    pub(crate) generation: u64,
}

/// Why a target is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Host or port.
    Host(Arc<Ruling>),
    /// The policy's budget of different names is used up.
    Names {
        rule: String,
        wait: Duration,
        ruling: Arc<Ruling>,
    },
    /// Every address; this is the first.
    Address {
        ruling: Arc<Ruling>,
        address: IpAddr,
    },
    /// Admitted, and without address.
    Resolve {
        error: ResolveError,
        ruling: Arc<Ruling>,
        /// What would have a parent resolve it.
        hint: Option<&'static str>,
    },
}

/// Judges targets.
pub(crate) struct Gate {
    live: Arc<Live>,
    local: Arc<Local>,
    resolve: Resolve,
    budgets: Arc<Budgets>,
    parents: Parents,
    routes: Mutex<LruCache<(Target, Reach), Kept>>,
}

struct Kept {
    route: Arc<Route>,
    /// With which reading of this machine's addresses it was judged.
    reading: u64,
    until: Instant,
}

impl Gate {
    pub(crate) fn new(
        live: Arc<Live>,
        local: Arc<Local>,
        resolve: Resolve,
        budgets: Arc<Budgets>,
        parents: Parents,
    ) -> Self {
        Self {
            live,
            local,
            resolve,
            budgets,
            parents,
            routes: Mutex::new(LruCache::new(ROUTES)),
        }
    }

    /// Judges one request: its target, method and path first, and its target's addresses only if they pass.
    ///
    /// The ruling is the one on the request, which may be by another rule than the one on its host.
    pub(crate) async fn admit_request(
        &self,
        target: &Target,
        method: &str,
        path: &str,
    ) -> Result<(Arc<Route>, Option<Arc<Ruling>>), Refusal> {
        // A request is judged by one policy, not by the host of one and the path of another.
        let snapshot = Arc::clone(&self.live.snapshot());
        let verdict = snapshot.policy.admit_request(target, method, path);
        if !verdict.action.is_allow() {
            return Err(Refusal::Host(refusal(&snapshot, target, verdict.reason)));
        }
        let route = self.route(&snapshot, target, verdict).await?;
        let own = verdict.reason != route.reason;
        Ok((route, own.then(|| ruling(&snapshot, verdict.reason))))
    }

    /// Judges host and port, for a tunnel: asks for addresses only if they pass, and judges every address. Where the
    /// tunnel is read, each request in it is judged on its own, and so are its addresses.
    pub(crate) async fn admit(&self, target: &Target) -> Result<Arc<Route>, Refusal> {
        let snapshot = Arc::clone(&self.live.snapshot());
        let host = snapshot.policy.admit_host(target);
        if !host.action.is_allow() {
            return Err(Refusal::Host(refusal(&snapshot, target, host.reason)));
        }
        self.route(&snapshot, target, host.into()).await
    }

    /// Where what `verdict` allows may go.
    ///
    /// COST: for a target seen under this policy within its time to live, one lookup in a table.
    async fn route(
        &self,
        snapshot: &Snapshot,
        target: &Target,
        verdict: RequestVerdict,
    ) -> Result<Arc<Route>, Refusal> {
        if let Some(route) = self.kept(target, verdict.reach, snapshot.generation) {
            return Ok(route);
        }
        // COST: boxed, so that the many requests to a kept route do not carry the state of a lookup.
        Box::pin(self.route_anew(snapshot, target, verdict)).await
    }

    async fn route_anew(
        &self,
        snapshot: &Snapshot,
        target: &Target,
        verdict: RequestVerdict,
    ) -> Result<Arc<Route>, Refusal> {
        let reading = self.local.reading();
        let host = snapshot.policy.admit_host(target);
        // Before it is resolved: the question itself tells the name to whoever answers it.
        let counted = self.budgets.name(&snapshot.policy, target);
        counted.map_err(|Spent { rule, wait }| Refusal::Names {
            rule,
            wait,
            ruling: ruling(snapshot, host.reason),
        })?;
        let (addresses, until) = match target.host() {
            Host::Addr(address) => (vec![*address], Instant::now() + MAX_TTL),
            Host::Name(name) => match self.resolve.lookup(name).await {
                Ok(answer) => (answer.addresses, answer.valid_until),
                Err(error) => {
                    let route =
                        self.unresolved(snapshot, reading, target, (host, verdict.reach), error)?;
                    let route = Arc::new(route);
                    self.keep(route.clone(), reading, Instant::now() + UNRESOLVED_TTL);
                    return Ok(route);
                }
            },
        };
        let route = Arc::new(self.judge(snapshot, reading, target, (host, verdict), &addresses)?);
        self.keep(route.clone(), reading, until);
        Ok(route)
    }

    /// A route that leads nowhere, for a target that was refused: to say so inside TLS. Requests on it are judged on
    /// their own.
    pub(crate) fn nowhere(target: &Target, ruling: Arc<Ruling>) -> Arc<Route> {
        Arc::new(Route {
            target: target.clone(),
            permits: Vec::new(),
            bypass: false,
            reach: Reach::Open,
            by_request: false,
            verdict: ruling,
            reason: Reason::Default,
            dropped: Vec::new(),
            unresolved: None,
        })
    }

    /// A route through a parent that resolves the name, where this machine cannot.
    ///
    /// INVARIANT: only for what an exact rule allows, which no CIDR rule is then about. For any other name the
    /// addresses must be judged, and here are none.
    fn unresolved(
        &self,
        snapshot: &Snapshot,
        reading: u64,
        target: &Target,
        (host, reach): (HostVerdict, Reach),
        error: ResolveError,
    ) -> Result<Route, Refusal> {
        let asked = self.parents.may_resolve(target);
        let verdict = ruling(snapshot, host.reason);
        let unknown = matches!(
            error,
            ResolveError::NotFound | ResolveError::Timeout | ResolveError::Failed(_)
        );
        if !(unknown && asked == Some(true) && reach.is_explicit()) {
            let hint = match asked.filter(|_| unknown) {
                None => None,
                Some(true) => Some("the parent proxy is asked for names that an exact rule allows"),
                Some(false) => Some(
                    "if the parent proxy of this machine knows it, SANDBOX_PARENT_RESOLVES=1 has it asked for names that an exact rule allows",
                ),
            };
            return Err(Refusal::Resolve {
                error,
                ruling: verdict,
                hint,
            });
        }
        Ok(Route {
            target: target.clone(),
            permits: vec![Permit::new(target, None, snapshot.generation, reading)],
            bypass: is_bypass(&snapshot.policy, target, None),
            reach,
            by_request: host.by_request,
            verdict,
            reason: host.reason,
            dropped: Vec::new(),
            unresolved: Some(error),
        })
    }

    /// Whether the policy now in force would still grant `permit`, with this machine's addresses as they are now; for a
    /// `bypass` tunnel also, whether it may still go unread.
    pub(crate) fn stands(&self, permit: &Permit, bypass: bool) -> bool {
        let snapshot = self.live.snapshot();
        if self.is_current(&snapshot, permit) {
            return true;
        }
        let (policy, target) = (&snapshot.policy, &permit.target);
        let verdict = match &permit.request {
            Some((method, path)) => policy.admit_request(target, method.as_str(), path.as_str()),
            None => policy.admit_host(target).into(),
        };
        let address = permit.address().map(|address| address.ip());
        self.leads(policy, permit, verdict) && (!bypass || is_bypass(policy, target, address))
    }

    /// Whether a connection that was made by `permit` for what reaches as far as `reach` may carry another such request.
    pub(crate) fn carries(&self, permit: &Permit, reach: Reach) -> bool {
        let snapshot = self.live.snapshot();
        self.is_current(&snapshot, permit) || {
            let host = snapshot.policy.admit_host(&permit.target);
            let most = RequestVerdict::from(host).within(reach);
            self.leads(&snapshot.policy, permit, most)
        }
    }

    fn is_current(&self, snapshot: &Snapshot, permit: &Permit) -> bool {
        (snapshot.generation, self.local.reading()) == (permit.generation, permit.reading)
    }

    /// Whether what `verdict` is about may go where `permit` leads.
    fn leads(&self, policy: &Policy, permit: &Permit, verdict: RequestVerdict) -> bool {
        let leads = |address: SocketAddr| {
            let local = self.local.addrs();
            let judged = policy.admit_addr(&permit.target, verdict, address.ip(), &local);
            judged.action.is_allow()
        };
        verdict.action.is_allow()
            && permit
                .address()
                .map_or_else(|| verdict.reach.is_explicit(), leads)
    }

    fn judge(
        &self,
        snapshot: &Snapshot,
        reading: u64,
        target: &Target,
        (host, verdict): (HostVerdict, RequestVerdict),
        addresses: &[IpAddr],
    ) -> Result<Route, Refusal> {
        let local = self.local.addrs();
        let policy = &snapshot.policy;
        let mut permits = Vec::new();
        let mut dropped = Vec::new();
        let mut first_refusal = None;
        let mut bypass = None;
        for &address in addresses {
            let judged = policy.admit_addr(target, verdict, address, &local);
            if !judged.action.is_allow() {
                dropped.push(policy.describe(judged.reason));
                first_refusal.get_or_insert((judged.reason, address));
                continue;
            }
            let carried = is_bypass(policy, target, Some(address));
            if *bypass.get_or_insert(carried) != carried {
                dropped.push(format!("{address} is carried differently"));
                continue;
            }
            let permit = Permit::new(target, Some(address), snapshot.generation, reading);
            permits.push(permit);
        }
        match (permits.is_empty(), first_refusal) {
            (true, Some((reason, address))) => Err(Refusal::Address {
                ruling: ruling(snapshot, reason),
                address,
            }),
            (true, None) => {
                let ruling = ruling(snapshot, host.reason);
                Err(Refusal::Resolve {
                    error: ResolveError::NoAddress,
                    ruling,
                    hint: None,
                })
            }
            (false, _) => Ok(Route {
                target: target.clone(),
                permits: interleave(permits),
                bypass: bypass.unwrap_or(false),
                reach: verdict.reach,
                by_request: host.by_request,
                verdict: ruling(snapshot, host.reason),
                reason: host.reason,
                dropped,
                unresolved: None,
            }),
        }
    }

    fn kept(&self, target: &Target, reach: Reach, generation: u64) -> Option<Arc<Route>> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = routes.get(&(target.clone(), reach))?;
        let current = kept.route.verdict.generation == generation
            && kept.reading == self.local.reading()
            && Instant::now() < kept.until;
        current.then(|| kept.route.clone())
    }

    fn keep(&self, route: Arc<Route>, reading: u64, until: Instant) {
        let now = Instant::now();
        let until = until.clamp(now + MIN_TTL, now + MAX_TTL);
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = Kept {
            route,
            reading,
            until,
        };
        routes.put((kept.route.target.clone(), kept.route.reach), kept);
    }
}

/// Without an address only a rule about the name can say so.
fn is_bypass(policy: &Policy, target: &Target, address: Option<IpAddr>) -> bool {
    let carriage = match address {
        Some(address) => policy.carriage(target, address),
        None => policy.carriage_of_name(target),
    };
    match carriage {
        Carriage::Intercept => false,
        Carriage::Tunnel(_) => true,
    }
}

/// IPv4 and IPv6 in turn, keeping the resolver's order within each (RFC 8305 §4). IPv4 goes first: a sandbox's
/// host more often lacks IPv6 than IPv4, and a wrong guess costs the stagger.
fn interleave(permits: Vec<Permit>) -> Vec<Permit> {
    let (v4, v6): (Vec<_>, Vec<_>) = permits
        .into_iter()
        .partition(|permit| permit.address().is_some_and(|address| address.is_ipv4()));
    let (mut v4, mut v6) = (v4.into_iter(), v6.into_iter());
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(v4.next());
        mixed.extend(v6.next());
        if mixed.len() == before {
            return mixed;
        }
    }
}

/// The ruling on a host that is not let through, with what may have been meant instead.
fn refusal(snapshot: &Snapshot, target: &Target, reason: Reason) -> Arc<Ruling> {
    let mut ruling = ruling(snapshot, reason);
    if reason == Reason::Default
        && let Some(ruling) = Arc::get_mut(&mut ruling)
    {
        ruling.nearest = snapshot.policy.nearest_allowed(target.host());
    }
    ruling
}

fn ruling(snapshot: &Snapshot, reason: Reason) -> Arc<Ruling> {
    let policy = &snapshot.policy;
    let rule = reason.rule().and_then(|id| policy.rule_at(id));
    let blocked_by = match reason {
        Reason::Rule(_) => rule
            .as_ref()
            .filter(|rule| matches!(rule.effect, Effect::Host(Action::Deny, _)))
            .map(|rule| rule.text.to_string()),
        _ => None,
    };
    Arc::new(Ruling {
        code: reason.code(),
        sentence: policy.describe(reason),
        rule: rule.map(|rule| RuleRef {
            text: rule.effect.to_string(),
            source: match &rule.origin {
                Origin::BuiltIn => "built in".to_owned(),
                Origin::File { source, .. } => source.to_string(),
            },
            line: match &rule.origin {
                Origin::BuiltIn => None,
                Origin::File { at, .. } => Some(at.line),
            },
        }),
        blocked_by,
        nearest: None,
        generation: snapshot.generation,
    })
}
