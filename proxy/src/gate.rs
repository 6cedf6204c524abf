//! The one place where permission to connect is made.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{Method, Uri};
use lru::LruCache;
use policy_lang::{Action, Carriage, Effect, Host, HostVerdict, Origin, Policy, Reason, Target};

use crate::audit::RuleRef;
use crate::budgets::Budgets;
use crate::live::{Live, Snapshot};
use crate::local::Local;
use crate::resolve::{self, ResolveError};

/// Targets whose addresses are kept. COST: about 1 KiB each.
const ROUTES: NonZeroUsize = NonZeroUsize::new(512).unwrap();

/// A kept route is used at least this long: a time to live of zero must not mean a question for each request.
const MIN_TTL: Duration = Duration::from_secs(1);

/// And at most this long, so that changes of this machine's own addresses are seen.
const MAX_TTL: Duration = Duration::from_secs(30);

/// Permission to connect to one address on behalf of one target, under one policy.
///
/// INVARIANT: only [`Gate`] makes one, and [`dial`](fn@crate::upstream::dial) accepts nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permit {
    address: SocketAddr,
    target: Target,
    generation: u64,
    /// The one request it is for, where it is for one only.
    request: Option<(Method, PathAndQuery)>,
}

impl Permit {
    /// The exact address that was judged.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for one request only: it stands as long as the policy lets that request pass.
    ///
    /// COST: no allocation; both are counted references or small.
    pub(crate) fn asking(&self, method: &Method, uri: &Uri) -> Self {
        let path = uri.path_and_query().cloned();
        let path = path.unwrap_or(PathAndQuery::from_static("/"));
        Self {
            request: Some((method.clone(), path)),
            ..self.clone()
        }
    }

    /// The same, for the address that was connected to in the end.
    pub(crate) fn through(self, dialled: &Self) -> Self {
        Self {
            request: self.request,
            ..dialled.clone()
        }
    }

    /// The same for any request, once the one it was for is over.
    pub(crate) fn for_any(&self) -> Self {
        Self {
            request: None,
            ..self.clone()
        }
    }
}

/// A target that was admitted: where its connections may go and how they are carried.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) target: Target,
    /// At least one, all to be carried the same way, in the order to try them.
    pub(crate) permits: Vec<Permit>,
    /// True if the policy says to pass bytes on unread.
    pub(crate) bypass: bool,
    /// True if an exact rule allows the target, which no CIDR rule is then about.
    pub(crate) explicit: bool,
    pub(crate) verdict: Arc<Ruling>,
    reason: Reason,
    /// Addresses that were dropped, each with its reason.
    pub(crate) dropped: Vec<String>,
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
    },
}

/// Judges targets.
pub(crate) struct Gate {
    live: Arc<Live>,
    local: Arc<Local>,
    resolve: resolve::Shared,
    budgets: Arc<Budgets>,
    routes: Mutex<LruCache<Target, Kept>>,
}

struct Kept {
    route: Arc<Route>,
    until: Instant,
}

impl Gate {
    pub(crate) fn new(
        live: Arc<Live>,
        local: Arc<Local>,
        resolve: resolve::Shared,
        budgets: Arc<Budgets>,
    ) -> Self {
        Self {
            live,
            local,
            resolve,
            budgets,
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
        loop {
            let snapshot = Arc::clone(&self.live.snapshot());
            let verdict = snapshot.policy.admit_request(target, method, path);
            if !verdict.action.is_allow() {
                return Err(Refusal::Host(refusal(&snapshot, target, verdict.reason)));
            }
            let route = self.admit(target).await?;
            // A request is judged by one policy, not by the host of one and the path of another.
            if route.verdict.generation == snapshot.generation {
                let own = verdict.reason != route.reason;
                return Ok((route, own.then(|| ruling(&snapshot, verdict.reason))));
            }
        }
    }

    /// Judges host and port, asks for addresses only if they pass, and judges every address.
    ///
    /// COST: for a target seen under this policy within its time to live, one lookup in a table.
    pub(crate) async fn admit(&self, target: &Target) -> Result<Arc<Route>, Refusal> {
        let snapshot = self.live.snapshot();
        if let Some(route) = self.kept(target, snapshot.generation) {
            return Ok(route);
        }
        // COST: boxed, so that the many requests to a kept route do not carry the state of a lookup.
        Box::pin(self.admit_anew(Arc::clone(&snapshot), target)).await
    }

    async fn admit_anew(
        &self,
        snapshot: Arc<Snapshot>,
        target: &Target,
    ) -> Result<Arc<Route>, Refusal> {
        let host = snapshot.policy.admit_host(target);
        if !host.action.is_allow() {
            return Err(Refusal::Host(refusal(&snapshot, target, host.reason)));
        }
        // Before it is resolved: the question itself tells the name to whoever answers it.
        let counted = self.budgets.name(&snapshot.policy, target);
        counted.map_err(|(rule, wait)| Refusal::Names {
            rule,
            wait,
            ruling: ruling(&snapshot, host.reason),
        })?;
        let (addresses, until) = match target.host() {
            Host::Addr(address) => (vec![*address], Instant::now() + MAX_TTL),
            Host::Name(name) => match self.resolve.lookup(name).await {
                Ok(answer) => (answer.addresses, answer.valid_until),
                Err(error) => {
                    return Err(Refusal::Resolve {
                        error,
                        ruling: ruling(&snapshot, host.reason),
                    });
                }
            },
        };
        let route = Arc::new(self.judge(&snapshot, target, host, &addresses)?);
        self.keep(route.clone(), until);
        Ok(route)
    }

    /// A route that leads nowhere, for a target that was refused: to say so inside TLS. Requests on it are judged on
    /// their own.
    pub(crate) fn nowhere(target: &Target, ruling: Arc<Ruling>) -> Arc<Route> {
        Arc::new(Route {
            target: target.clone(),
            permits: Vec::new(),
            bypass: false,
            explicit: false,
            verdict: ruling,
            reason: Reason::Default,
            dropped: Vec::new(),
        })
    }

    /// Whether the policy now in force would still grant `permit`; for a `bypass` tunnel also, whether it may still go unread.
    pub(crate) fn stands(&self, permit: &Permit, bypass: bool) -> bool {
        let snapshot = self.live.snapshot();
        if snapshot.generation == permit.generation {
            return true;
        }
        let (policy, target, address) = (&snapshot.policy, &permit.target, permit.address.ip());
        let host = policy.admit_host(target);
        let asks = |(method, path): &(Method, PathAndQuery)| {
            let verdict = policy.admit_request(target, method.as_str(), path.as_str());
            verdict.action.is_allow()
        };
        host.action.is_allow()
            && permit.request.as_ref().is_none_or(asks)
            && policy
                .admit_addr(target, &host, address, &self.local.addrs())
                .action
                .is_allow()
            && (!bypass || is_bypass(policy, target, address))
    }

    fn judge(
        &self,
        snapshot: &Snapshot,
        target: &Target,
        host: HostVerdict,
        addresses: &[IpAddr],
    ) -> Result<Route, Refusal> {
        let local = self.local.addrs();
        let policy = &snapshot.policy;
        let mut permits = Vec::new();
        let mut dropped = Vec::new();
        let mut first_refusal = None;
        let mut bypass = None;
        for &address in addresses {
            let verdict = policy.admit_addr(target, &host, address, &local);
            if !verdict.action.is_allow() {
                dropped.push(policy.describe(verdict.reason));
                first_refusal.get_or_insert((verdict.reason, address));
                continue;
            }
            let carried = is_bypass(policy, target, address);
            if *bypass.get_or_insert(carried) != carried {
                dropped.push(format!("{address} is carried differently"));
                continue;
            }
            let address = SocketAddr::new(address, target.port().get());
            permits.push(Permit {
                address,
                target: target.clone(),
                generation: snapshot.generation,
                request: None,
            });
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
                })
            }
            (false, _) => Ok(Route {
                target: target.clone(),
                permits: interleave(permits),
                bypass: bypass.unwrap_or(false),
                explicit: host.is_explicit(),
                verdict: ruling(snapshot, host.reason),
                reason: host.reason,
                dropped,
            }),
        }
    }

    fn kept(&self, target: &Target, generation: u64) -> Option<Arc<Route>> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = routes.get(target)?;
        let current = kept.route.verdict.generation == generation && Instant::now() < kept.until;
        current.then(|| kept.route.clone())
    }

    fn keep(&self, route: Arc<Route>, until: Instant) {
        let now = Instant::now();
        let until = until.clamp(now + MIN_TTL, now + MAX_TTL);
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.put(route.target.clone(), Kept { route, until });
    }

    /// Forgets kept addresses, because this machine's own have changed.
    pub(crate) fn forget(&self) {
        self.routes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

fn is_bypass(policy: &Policy, target: &Target, address: IpAddr) -> bool {
    match policy.carriage(target, address) {
        Carriage::Intercept => false,
        Carriage::Tunnel(_) => true,
    }
}

/// IPv4 and IPv6 in turn, keeping the resolver's order within each (RFC 8305 §4). IPv4 goes first: a sandbox's
/// host more often lacks IPv6 than IPv4, and a wrong guess costs the stagger.
fn interleave(permits: Vec<Permit>) -> Vec<Permit> {
    let (v4, v6): (Vec<_>, Vec<_>) = permits
        .into_iter()
        .partition(|permit| permit.address.is_ipv4());
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
