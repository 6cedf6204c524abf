//! Answers, each with its cause.

use crate::RuleId;
use serde::Serialize;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// To let pass or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Let pass.
    Allow,
    /// Refuse.
    Deny,
}

impl Action {
    /// Whether this is [`Action::Allow`].
    pub fn is_allow(self) -> bool {
        self == Self::Allow
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// How specific a host rule is; the lowest tier that has a matching rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Exact host and port (or a range of ports, narrower before wider).
    ExactPort,
    /// Exact host, every port.
    Exact,
    /// `*.d`: longest suffix first, with port before without.
    Wildcard,
    /// `*:port`, then `*`.
    Any,
}

/// May this host and port be asked for?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostVerdict {
    /// The answer.
    pub action: Action,
    /// Its cause: [`Reason::Rule`] or [`Reason::Default`].
    pub reason: Reason,
    /// The tier of the rule that decided; `None` for the default.
    pub tier: Option<Tier>,
    /// Whether rules about some requests only come into it, so that the traffic must be read and each request
    /// asked about with [`crate::Policy::admit_request`].
    pub by_request: bool,
}

impl HostVerdict {
    /// Which addresses the rule that decided opens. Where `by_request`, that is what some request may reach;
    /// each is held to the rule that allowed it.
    pub fn reach(&self) -> Reach {
        Reach::of(self.tier)
    }
}

/// Which addresses a rule that allows a target opens; the wider is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// A wildcard, `*` or the default: what the rules about networks leave open.
    Open,
    /// An exact host: also what rules about networks block.
    Blocked,
    /// An exact host and port: also this machine.
    ThisMachine,
}

impl Reach {
    pub(crate) fn of(tier: Option<Tier>) -> Self {
        match tier {
            Some(Tier::ExactPort) => Self::ThisMachine,
            Some(Tier::Exact) => Self::Blocked,
            Some(Tier::Wildcard | Tier::Any) | None => Self::Open,
        }
    }

    /// Whether an exact rule (tier 1 or 2) allowed the target. Such a target skips the CIDR rules.
    pub fn is_explicit(self) -> bool {
        self >= Self::Blocked
    }
}

/// May the connection go to this address?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddrVerdict {
    /// The answer.
    pub action: Action,
    /// Its cause.
    pub reason: Reason,
}

/// May this request be sent over an admitted connection?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestVerdict {
    /// The answer.
    pub action: Action,
    /// Its cause.
    pub reason: Reason,
    /// Which addresses the rule that allowed it opens, which may be fewer than another rule about the host does.
    pub reach: Reach,
}

impl RequestVerdict {
    /// The same for addresses within `reach` only.
    pub fn within(self, reach: Reach) -> Self {
        Self {
            reach: self.reach.min(reach),
            ..self
        }
    }
}

/// For what is asked for without a request: a tunnel that nobody reads.
impl From<HostVerdict> for RequestVerdict {
    fn from(host: HostVerdict) -> Self {
        Self {
            action: host.action,
            reason: host.reason,
            reach: host.reach(),
        }
    }
}

/// How admitted HTTPS is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// TLS is ended here and made anew towards the server.
    Intercept,
    /// Bytes are passed on unread, because of this bypass rule.
    Tunnel(RuleId),
}

/// Why a verdict is what it is. [`crate::Policy::describe`] makes a sentence of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A host rule decided.
    Rule(RuleId),
    /// No host rule covers the target; the default decided.
    Default,
    /// Allowed: this exact host rule lets the target skip the CIDR rules.
    Explicit(RuleId),
    /// Allowed: no CIDR rule covers the address.
    Unblocked,
    /// Allowed: this `allowCIDR` rule is longer than every block that covers the address.
    Lifted(RuleId),
    /// Denied: this CIDR rule covers the address.
    Net {
        /// The rule.
        rule: RuleId,
        /// What lies in its network: the address itself or an IPv4 address embedded in it.
        judged: IpAddr,
    },
    /// Denied: the address is this machine's own, and no exact rule names host and port.
    ThisMachine {
        /// What is this machine's: the address itself or an IPv4 address embedded in it.
        judged: IpAddr,
    },
    /// Denied: a cloud metadata address, and no rule is that address literal.
    Metadata {
        /// The metadata address: the address itself or an IPv4 address embedded in it.
        judged: IpAddr,
    },
    /// Denied: there are rules about requests, and this one's path is malformed.
    OddPath,
    /// Denied: there are rules about requests, and this one's method has lower-case letters, which many servers do not
    /// tell from upper-case ones.
    OddMethod,
    /// Denied: the proxy would connect to itself.
    OwnListener(SocketAddr),
}

impl Reason {
    /// A stable word for headers, logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rule(_) => "host-rule",
            Self::Default => "default",
            Self::Explicit(_) => "explicit",
            Self::Unblocked => "unblocked",
            Self::Lifted(_) => "allow-cidr",
            Self::Net { .. } => "block-cidr",
            Self::ThisMachine { .. } => "this-machine",
            Self::Metadata { .. } => "metadata",
            Self::OddPath => "odd-path",
            Self::OddMethod => "odd-method",
            Self::OwnListener(_) => "own-listener",
        }
    }

    /// The rule that decided, if one did.
    pub fn rule(&self) -> Option<RuleId> {
        match self {
            Self::Rule(id) | Self::Explicit(id) | Self::Lifted(id) => Some(*id),
            Self::Net { rule, .. } => Some(*rule),
            Self::Default
            | Self::Unblocked
            | Self::ThisMachine { .. }
            | Self::Metadata { .. }
            | Self::OddPath
            | Self::OddMethod
            | Self::OwnListener(_) => None,
        }
    }
}
