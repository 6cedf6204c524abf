//! Rules at one place of a table of hosts.

use crate::{Action, HostPattern, Port, RequestPattern, RuleId, Tier, pattern::width};

/// First and last; `None` is every port.
pub(super) type Ports = Option<(Port, Port)>;

/// One rule, as stored.
#[derive(Debug)]
pub(super) struct HostSlot {
    rule: RuleId,
    action: Action,
    ports: Ports,
    request: Option<Box<RequestPattern>>,
}

/// One rule, as looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'t> {
    pub(crate) rule: RuleId,
    pub(crate) action: Action,
    /// First and last; `None` is every port.
    pub(crate) ports: Ports,
    /// Which requests the rule is about; `None` is every request.
    pub(crate) request: Option<&'t RequestPattern>,
    /// How specific the rule is.
    pub(crate) tier: Tier,
}

impl HostSlot {
    pub(super) fn new(
        rule: RuleId,
        action: Action,
        ports: Ports,
        request: Option<&RequestPattern>,
    ) -> Self {
        Self {
            rule,
            action,
            ports,
            request: request.cloned().map(Box::new),
        }
    }

    pub(super) fn view(&self, scope: Scope) -> View<'_> {
        View {
            tier: scope.tier(self.ports),
            rule: self.rule,
            action: self.action,
            ports: self.ports,
            request: self.request.as_deref(),
        }
    }

    /// Whether it allows every port and every request.
    #[inline]
    pub(super) fn allows_everything(&self) -> bool {
        self.ports.is_none() && self.request.is_none() && self.action.is_allow()
    }

    /// One port, then ranges from narrow to wide, then every port; with requests before without; of two
    /// equals the block first.
    fn order(&self) -> impl Ord + use<'_> {
        let any_request = self.request.is_none();
        let request = self.request.as_deref().map(RequestPattern::order);
        let allow = self.action.is_allow();
        (width(self.ports), any_request, request, allow, self.ports)
    }
}

/// What the rules of a place are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The name or address itself.
    Exact,
    /// All below the name.
    Below,
    /// Everything.
    Any,
}

impl Scope {
    /// What a rule about a name is about: the name itself (`exact`) or all below it.
    #[inline]
    pub(super) fn of_name(exact: bool) -> Self {
        match exact {
            true => Self::Exact,
            false => Self::Below,
        }
    }

    pub(super) fn tier(self, ports: Ports) -> Tier {
        match self {
            Self::Exact if ports.is_some() => Tier::ExactPort,
            Self::Exact => Tier::Exact,
            Self::Below => Tier::Wildcard,
            Self::Any => Tier::Any,
        }
    }
}

/// Puts a slot where it belongs among those of its place.
pub(super) fn insert(place: &mut Vec<HostSlot>, slot: HostSlot) {
    let at = place.partition_point(|other| other.order() <= slot.order());
    place.insert(at, slot);
}

impl View<'_> {
    pub(crate) fn covers(&self, port: Port) -> bool {
        self.ports
            .is_none_or(|(first, last)| (first..=last).contains(&port))
    }

    /// Whether the rule is about all requests to exactly the pattern's ports.
    pub(crate) fn is_whole(&self, pattern: &HostPattern) -> bool {
        self.request.is_none() && self.ports == pattern.ports
    }

    /// Whether the rule is about all the pattern's ports.
    pub(crate) fn covers_ports(&self, pattern: &HostPattern) -> bool {
        match (self.ports, pattern.ports) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((a, b)), Some((c, d))) => a <= c && d <= b,
        }
    }

    /// Whether the rule is about some of the pattern's ports.
    pub(crate) fn meets_ports(&self, pattern: &HostPattern) -> bool {
        match (self.ports, pattern.ports) {
            (Some((a, b)), Some((c, d))) => a <= d && c <= b,
            _ => true,
        }
    }

    pub(crate) fn is_wider(&self, pattern: &HostPattern) -> bool {
        width(self.ports) > width(pattern.ports)
    }
}
